# Prints the targets of the Makefile that carry a comment after ##, in the groups that ##@ begins.
BEGIN {
	FS = ":.*## "
	print "Usage: make TARGET [CLUSTER=name]"
}
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z][a-z0-9-]*:.*## / { printf "  %-18s %s\n", $1, $2 }
