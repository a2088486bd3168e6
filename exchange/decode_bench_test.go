package exchange

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkParseRequest measures the cost of decoding calls: many small outcomes, and few large ones.
//
//	go test -run '^$' -bench ParseRequest ./exchange
func BenchmarkParseRequest(b *testing.B) {
	outcomes := func(count int, result, output string) string {
		list := make([]string, count)
		for i := range list {
			list[i] = fmt.Sprintf(`{"index":%d,"status":"Succeeded","startTime":1700000000000000,"durationMicros":1234,"result":%s,"stdout":%q}`, i, result, output)
		}
		return `{"protocol":1,"sequence":7,"held":"","want":true,"waitSeconds":5,"outcomes":[` + strings.Join(list, ",") + `]}`
	}
	for name, body := range map[string]string{
		"NoOutcome":    `{"protocol":1,"sequence":7,"held":"17,20-31","executing":17,"want":true,"waitSeconds":5,"device":"0"}`,
		"SmallResults": outcomes(1000, "42", "aGkK"),
		"LargeResults": outcomes(20, "["+strings.Repeat(`{"loss":0.123,"name":"x"},`, 4000)+"0]", strings.Repeat("aGkK", 1<<14)),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRequest([]byte(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
