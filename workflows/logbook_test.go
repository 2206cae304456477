package workflows

import (
	"strings"
	"testing"
)

func TestTheLogbookShowsWhatOthersSaidAsPlainText(t *testing.T) {
	f := &function{State: State{
		Trouble:  "start replicas:\n# All is well\n<script>x</script> \x1b[2J \u202e",
		Replicas: []ReplicaState{{ID: "a", Cause: "crashed | `rm` |\n| b"}},
	}}
	page := f.page()
	for _, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "| b") {
			t.Errorf("somebody else's line: %q", line)
		}
	}
	if strings.ContainsAny(page, "\x1b\u202e<>") {
		t.Errorf("page %q", page)
	}
	if got := plain("exit code 1 ünd"); got != "exit code 1 ünd" {
		t.Errorf("plain text became %q", got)
	}
}
