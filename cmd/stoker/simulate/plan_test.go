package simulate

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

const planManifest = `apiVersion: stoker.dev/v1
kind: Function
metadata: {name: m0}
`

// TestPlan: the cheaper of two equal products is named; what is bad or cut short gives no plan.
func TestPlan(t *testing.T) {
	example, err := os.ReadFile("../../../deploy/examples/tinylm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := PlanOptions{
		Trace: write(t, "t.csv", rows(500)), Manifest: write(t, "f.yaml", string(example)), Seed: 1,
		Profiles: []string{write(t, "dear.yaml", "price: 5\nslots: 1\nservice: {base: 8s}\n"), write(t, "cheap.yaml", "price: 1\nslots: 1\nservice: {base: 8s}\n")},
	}
	got, err := Plan(context.Background(), o)
	if err != nil || len(got) != 2 || len(got[0].Functions) != 2 || len(got[0].Nines) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if d := got[0].PerRequest / got[1].PerRequest; d < 4.999 || d > 5.001 || got[0].PerMillionToken <= 0 || got[0].Functions[0].Max < 1 {
		t.Errorf("%+v", got)
	}
	if f := got[0].Functions[0]; f.Max <= 2 || f.Now != "0 to 2, auto" || !got[0].Meets {
		t.Errorf("the objective takes more than the manifest's max: %+v", f)
	}
	bounded := o
	bounded.WithinMax = true
	if within, err := Plan(context.Background(), bounded); err != nil || within[0].Functions[0].Max > 2 {
		t.Errorf("within the manifest's max: %+v, %v", within, err)
	}
	var b bytes.Buffer
	if err := PlanTable(&b, got); err != nil || !strings.Contains(b.String(), "cheapest per request and per million tokens: cheap\n") {
		t.Errorf("%s, %v", b.String(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Plan(ctx, o); !errors.Is(err, ErrCut) {
		t.Errorf("interrupted: %v", err)
	}
	o.Manifest = write(t, "bad.yaml", planManifest+"nothing: 1\n")
	if _, err := Plan(context.Background(), o); err == nil || !strings.Contains(err.Error(), "is not valid") {
		t.Errorf("bad manifest: %v", err)
	}
}
