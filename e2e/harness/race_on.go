//go:build race

package harness

// raceFlag builds the programs as the test itself was built, so that both share the build cache.
var raceFlag = []string{"-race"}

// MemoryFactor is how much more memory the programs take than those that users run.
const MemoryFactor = 3
