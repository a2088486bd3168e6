# Prints the targets of the Makefile that have a comment after ##, in the groups that ##@ starts.
BEGIN {
	FS = ":.*## "
	print "Usage: make TARGET [CLUSTER=name] [COMPONENT=manager|apiserver] [DEBUG=1]"
}
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z][a-z0-9-]*:.*## / { gsub(/\$\$/, "$", $2); printf "  %-18s %s\n", $1, $2 }
