package natsd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
	"stoker.dev/stoker/events"
)

// lastRunFile lies in the store directory, beside the server's own.
const lastRunFile = "last-run.json"

// bootFile names the machine's current boot.
const bootFile = "/proc/sys/kernel/random/boot_id"

// lastRun is what a broker leaves for the one after it: how it ended tells what may be missing.
type lastRun struct {
	Boot    string   `json:"boot"`
	Clean   bool     `json:"clean"`   // it wrote everything and ended by itself
	Streams []string `json:"streams"` // that there were when it began or ended
}

// readLastRun is best effort: where nothing can be read nothing is known, and less is checked.
func readLastRun(store string) lastRun {
	var l lastRun
	data, err := os.ReadFile(filepath.Join(store, lastRunFile))
	if err != nil || json.Unmarshal(data, &l) != nil {
		return lastRun{}
	}
	return l
}

// last is what it means for the files. Only the platform's own streams are never deleted.
func (l lastRun) last() verify.Last {
	own := slices.DeleteFunc(slices.Clone(l.Streams), func(name string) bool { return !events.OwnStream(name) })
	return verify.Last{Clean: l.Clean, Rebooted: l.Boot != "" && l.Boot != bootID() && !l.Clean, Streams: own}
}

// write notes it for the next run, also for one after a power cut.
func (l lastRun) write(store string) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return datadir.Replace(filepath.Join(store, lastRunFile), append(data, '\n'))
}

func bootID() string {
	data, err := os.ReadFile(bootFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
