package contract_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

var update = flag.Bool("update", false, "write the golden files anew")

// place is rank 1 of a gang of two with four GPUs each.
func place(framework functions.Framework) contract.Place {
	var j functions.TrainingJob
	j.Spec.Framework = framework
	j.Spec.Resources.GPUsPerNode = 4
	j.Spec.Dataset.URI = "s3://corpus/web"
	return contract.Place{
		Job: functions.Key{Namespace: "research", Name: "llama"}, Spec: functions.DefaultJob(j).Spec, Attempt: 2, Generation: 3, Rank: 1,
		Addresses: []string{"10.0.0.7", "10.0.0.8"}, Port: 29500, Dir: "/run/rank", CheckpointDir: "/mnt/shared/llama", ResumeFrom: "/mnt/shared/llama/step-1200",
		Deadline: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func TestEnvironmentGolden(t *testing.T) {
	for _, framework := range []functions.Framework{functions.FrameworkTorch, functions.FrameworkJAX, functions.FrameworkMPI, functions.FrameworkCustom} {
		t.Run(string(framework), func(t *testing.T) {
			env, err := contract.Environment(place(framework))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, v := range env {
				fmt.Fprintf(&b, "%s=%s\n", v.Name, v.Value)
			}
			file := filepath.Join("testdata", "env", string(framework)+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("differs from %s:\n%s", file, b.String())
			}
		})
	}
}

// A manifest cannot replace what the platform sets, and nothing is reserved that is never set.
func TestEveryVariableIsReserved(t *testing.T) {
	for _, framework := range []functions.Framework{functions.FrameworkTorch, functions.FrameworkJAX, functions.FrameworkMPI, functions.FrameworkCustom} {
		env, err := contract.Environment(place(framework))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range env {
			if !functions.ReservedForRanks(v.Name) {
				t.Errorf("%s: a manifest may set %s as well", framework, v.Name)
			}
			if i > 0 && env[i-1].Name >= v.Name {
				t.Errorf("%s: %s after %s", framework, v.Name, env[i-1].Name)
			}
		}
	}
	if functions.ReservedForRanks("HF_HOME") {
		t.Error("HF_HOME is reserved")
	}
}

// The ranks of one gang agree on everything but who they are.
func TestRanksAgree(t *testing.T) {
	own := []string{"NODE_RANK", "RANK", "PET_NODE_RANK", "JAX_PROCESS_ID"}
	rapid.Check(t, func(t *rapid.T) {
		p := place(rapid.SampledFrom([]functions.Framework{functions.FrameworkTorch, functions.FrameworkJAX, functions.FrameworkMPI}).Draw(t, "framework"))
		p.Addresses = rapid.SliceOfN(rapid.SampledFrom([]string{"10.0.0.1", "node-7.cluster", "fd00::7"}), 1, 8).Draw(t, "addresses")
		p.Spec.Preemption.Grace = functions.Duration(rapid.Int64Range(int64(time.Second), int64(functions.MaxJobGrace)).Draw(t, "grace"))
		var shared []functions.EnvVar
		for rank := range p.Addresses {
			p.Rank = rank
			env, err := contract.Environment(p)
			if err != nil {
				t.Fatal(err)
			}
			common := slices.DeleteFunc(env, func(v functions.EnvVar) bool { return slices.Contains(own, v.Name) })
			if rank > 0 && !slices.Equal(common, shared) {
				t.Fatalf("rank %d has %v, rank 0 %v", rank, common, shared)
			}
			shared = common
		}
		for _, v := range shared {
			if v.Name == "TORCH_ELASTIC_SHUTDOWN_TIMEOUT" && (v.Value == "0" || strings.HasPrefix(v.Value, "-")) {
				t.Fatalf("torchrun has no patience at all: %s", v.Value)
			}
		}
	})
}

func TestEnvironmentWithoutADeadlineAndOverIPv6(t *testing.T) {
	p := place(functions.FrameworkJAX)
	p.Addresses, p.Rank, p.Deadline, p.Spec.Checkpoint.URI = []string{"fd00::7"}, 0, time.Time{}, "file:///mnt/shared/llama"
	env, err := contract.Environment(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []functions.EnvVar{{Name: "DEADLINE_UNIX"}, {Name: "JAX_COORDINATOR_ADDRESS", Value: "[fd00::7]:29500"}, {Name: "CHECKPOINT_URI", Value: "file:///mnt/shared/llama"}} {
		if !slices.Contains(env, want) {
			t.Errorf("no %+v in %v", want, env)
		}
	}
}

func TestPlacesThatNobodyCanHave(t *testing.T) {
	for name, change := range map[string]func(*contract.Place){
		"no addresses":         func(p *contract.Place) { p.Addresses = nil },
		"a rank too many":      func(p *contract.Place) { p.Rank = 2 },
		"a negative rank":      func(p *contract.Place) { p.Rank = -1 },
		"an empty address":     func(p *contract.Place) { p.Addresses = []string{"10.0.0.7", ""} },
		"two lines in one":     func(p *contract.Place) { p.Addresses[1] = "a slots=1\nb" },
		"no port":              func(p *contract.Place) { p.Port = 0 },
		"a relative directory": func(p *contract.Place) { p.Dir = "run" },
		"no checkpoints":       func(p *contract.Place) { p.CheckpointDir = "" },
		"no attempt":           func(p *contract.Place) { p.Attempt = 0 },
		"no generation":        func(p *contract.Place) { p.Generation = 0 },
	} {
		p := place(functions.FrameworkMPI)
		change(&p)
		if env, err := contract.Environment(p); !errors.Is(err, contract.ErrPlace) || env != nil {
			t.Errorf("%s: %v, %v", name, env, err)
		}
		if text, err := contract.Hostfile(p); !errors.Is(err, contract.ErrPlace) || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestHostfile(t *testing.T) {
	p := place(functions.FrameworkMPI)
	if got, err := contract.Hostfile(p); err != nil || got != "10.0.0.7 slots=4\n10.0.0.8 slots=4\n" {
		t.Errorf("%q, %v", got, err)
	}
	p.Spec.Resources.GPUsPerNode = 0
	if got, err := contract.Hostfile(p); err != nil || got != "10.0.0.7 slots=1\n10.0.0.8 slots=1\n" {
		t.Errorf("without GPUs: %q, %v", got, err)
	}
}
