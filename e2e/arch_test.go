package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// modulePath is stoker's own module; imports below it are the repository's folders.
const modulePath = "stoker.dev/stoker"

// repoRoot is the repository, seen from this package's directory.
const repoRoot = ".."

// direction says what a top-level folder may import of ours, and why no more.
type direction struct {
	to  []string
	why string
}

// directions is the architecture. Left to right:
//
//	cmd ─► workflows ─► activities ─► scale ─► functions        (each may import all to its right)
//	 │                      │
//	 └──────────────────────┴───────► events ─► functions
//
// A folder may always import its own sub-packages. Folders without an entry may not exist.
var directions = map[string]direction{
	"functions":  {nil, "manifests are what everybody else is written about, so they know nobody"},
	"scale":      {[]string{"functions"}, "the simulator and production run the same decisions only if they see no outside world"},
	"events":     {[]string{"functions"}, "the wire format must not follow changes of policy or lifecycle"},
	"activities": {[]string{"functions", "scale", "events"}, "activities act on decisions; they do not know who asked"},
	"workflows":  {[]string{"functions", "scale", "activities"}, "workflows never import events: a change on the wire must not touch the replay of recorded histories"},
	"cmd":        {[]string{"functions", "scale", "events", "activities", "workflows"}, "programs put the parts together; what deploy/ holds is for installing them"},
	"deploy":     {nil, "deploy/ is data for clusters, and e2e/ checks it"},
	"e2e":        {[]string{"functions", "scale", "events", "activities", "workflows", "cmd", "deploy"}, "the tests may look at everything"},
}

// testbeds are packages that tests of every folder may import: they start what a provider or an adapter is for, and
// know nothing of the product.
var testbeds = []string{"e2e/kubetest"}

// home says where alone an outside library may be imported by the product (tests may use it anywhere).
type home struct {
	prefix  string
	folders []string
	why     string
}

var homes = []home{
	{"github.com/nats-io/nats.go", []string{"events", "cmd/stoker/embedded"}, "events/ is the only place that knows NATS"},
	{"github.com/nats-io/nats-server", []string{"cmd/stoker/embedded", "events/eventstest"}, "only the embedded default and the tests run servers"},
	{"go.temporal.io/server", []string{"cmd/stoker/embedded"}, "only the embedded default runs servers"},
	{"go.temporal.io/sdk", []string{"activities", "workflows", "cmd/stoker"}, "everything else must work without Temporal"},
	{"k8s.io/client-go", []string{"activities/kubernetes"}, "a Pod is one provider's idea"},
	{"github.com/NVIDIA/go-nvml", []string{"activities"}, "devices are touched by activities"},
	{"github.com/spf13/cobra", []string{"cmd"}, "command lines belong to programs"},
}

// agentBans are module prefixes that must not reach cmd/stoker-agent, not even indirectly.
var agentBans = map[string]string{
	"go.temporal.io":    "one agent runs beside every replica: it stays small, and it works while Temporal is down",
	"k8s.io/client-go":  "an agent knows its queue and its model server, never the cluster that runs it",
	"github.com/gomlx/": "the model server is another process",
}

// rule is one sentence about the source tree that a test can hold.
type rule struct {
	name  string
	check func(tree) []string
}

var rules = []rule{
	{"imports go one way", checkDirections},
	{"testbeds know nothing of the product", checkTestbeds},
	{"outside libraries have one home", checkHomes},
	{"what serves tests stays in tests", checkTestSupport},
	{"pure packages import no outside world", checkPureImports},
	{"pure packages use no clock, goroutine, channel or output", checkPureCode},
	{"one package doc per package", checkPackageDocs},
	{"subjects are built in events/subjects.go alone", checkSubjects},
	{"nobody sleeps to wait", checkSleeps},
	{"nothing registers itself in init", checkInits},
	{"a skipped test says why", checkSkips},
	{"workflow versions are named in workflows/versions.go", checkVersions},
	{"packages are named after what they hold", checkFolderNames},
}

func TestArchitecture(t *testing.T) {
	src, err := loadTree(os.DirFS(repoRoot))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, v := range r.check(src) {
				t.Error(v)
			}
		})
	}
}

func TestEveryFolderOfTheDesignExists(t *testing.T) {
	for folder := range directions {
		info, err := os.Stat(path.Join(repoRoot, folder))
		if err != nil || !info.IsDir() {
			t.Errorf("folder %s/ of the design is missing: %v", folder, err)
		}
	}
}

// TestAgentStaysSmall follows cmd/stoker-agent's imports to the end, through every module.
func TestAgentStaysSmall(t *testing.T) {
	for _, v := range bannedDeps(t, modulePath+"/cmd/stoker-agent/...") {
		t.Error(v)
	}
	// The same check on a package known to be banned: a check that cannot fail proves nothing.
	if len(bannedDeps(t, "go.temporal.io/sdk/client")) == 0 {
		t.Error("the check does not notice go.temporal.io/sdk/client itself")
	}
}

// bannedDeps lists the packages that pattern needs, directly or not, and that [agentBans] forbids.
func bannedDeps(t *testing.T, pattern string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", pattern)
	cmd.Dir = repoRoot
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v\n%s", pattern, err, stderr.String())
	}
	deps := strings.Fields(string(out))
	if len(deps) == 0 {
		t.Fatalf("go list -deps %s named no package", pattern)
	}
	var found []string
	for _, dep := range deps {
		for prefix, why := range agentBans {
			if strings.HasPrefix(dep, prefix) {
				found = append(found, fmt.Sprintf("%s depends on %s: %s", pattern, dep, why))
			}
		}
	}
	return found
}

// within tells whether dir is folder or lies below it.
func within(dir, folder string) bool { return dir == folder || strings.HasPrefix(dir, folder+"/") }

// skipDir tells which directories hold no source of the module.
func skipDir(fsys fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if base == "testdata" || dir == "build" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod")) // a module of its own
	return err == nil
}
