package main

import (
	"encoding/json"
	"os"
	"strings"

	"stoker.dev/stoker/events"
)

// maxTermination is how much a kubelet reads of a termination message, in bytes.
const maxTermination = 4096

// keptWords is how much of a rank's last words is kept where not all has room, in bytes.
const keptWords = 1024

// writeTermination writes a status into the file that is there, as a Pod's termination message wants it: it is
// mounted, so no other can take its place, and read once we are gone.
func writeTermination(path string, hb events.Heartbeat) error {
	data, err := json.Marshal(hb)
	for _, shorten := range shorter {
		if err != nil || len(data) <= maxTermination {
			break
		}
		shorten(&hb)
		data, err = json.Marshal(hb)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// shorter leaves out of a status what is least missed, step by step. What it points to is others', too.
var shorter = []func(*events.Heartbeat){
	func(hb *events.Heartbeat) {
		hb.GPUs = nil
		hb.Message = lastBytes(hb.Message, keptWords)
		changeEnd(hb, func(e *events.RankEnd) { e.Output, e.Error = lastBytes(e.Output, keptWords), nil })
	},
	func(hb *events.Heartbeat) { // what is left is mostly bytes that JSON writes six for
		hb.Message = ""
		changeEnd(hb, func(e *events.RankEnd) { e.Output, e.Refused = "", lastBytes(e.Refused, keptWords/8) })
	},
}

func changeEnd(hb *events.Heartbeat, change func(*events.RankEnd)) {
	if hb.Rank == nil || hb.Rank.End == nil {
		return
	}
	r, e := *hb.Rank, *hb.Rank.End
	change(&e)
	r.End, hb.Rank = &e, &r
}

// lastBytes is the end of a text, in whole lines where it has some.
func lastBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if _, lines, cut := strings.Cut(s, "\n"); cut {
		return lines
	}
	return s
}
