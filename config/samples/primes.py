"""How many primes are there in a range? One input is one range."""


def handler(event):
    start, end = event
    return sum(1 for n in range(max(start, 2), end) if all(n % d for d in range(2, int(n**0.5) + 1)))
