// Package providertest is the one suite every provider passes. A provider's own test makes a
// [Harness] over it and calls [Run]; whatever the contract in package activities promises is
// checked here, with nothing assumed about where replicas run.
package providertest
