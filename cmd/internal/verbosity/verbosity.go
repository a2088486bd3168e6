// Package verbosity bounds how much the programs log.
//
// client-go logs the bodies of requests and responses from level 8 on: Secrets, tokens, code and inputs among them. Headers, which it
// logs from level 7 on, are without credentials. No flag of the manager or of the API server reaches level 8.
package verbosity

import logsapi "k8s.io/component-base/logs/api/v1"

// Max is the highest level at which no library logs bodies.
const Max = 7

// Clamp is a level that is not above Max.
func Clamp(level int) int { return min(level, Max) }

// ClampConfiguration bounds the levels of the flags -v and --vmodule.
func ClampConfiguration(c *logsapi.LoggingConfiguration) {
	c.Verbosity = min(c.Verbosity, Max)
	for i := range c.VModule {
		c.VModule[i].Verbosity = min(c.VModule[i].Verbosity, Max)
	}
}
