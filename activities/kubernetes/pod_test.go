package kubernetes

import (
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestPodOfAReplica shows what is created: testdata/pod.yaml is to be read by people.
func TestPodOfAReplica(t *testing.T) {
	checkGolden(t, "pod.yaml", replicaSpec())
}

// checkGolden compares a Pod with a file that shows it.
func checkGolden(t *testing.T, name string, r activities.ReplicaSpec) {
	t.Helper()
	o, err := Options{Client: unused{}, Namespace: "stoker", Pool: "default", Checkpoints: Volume{"shared", "/mnt/shared"}}.complete()
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(o.pod(r, began))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the Pod differs from %s (-update writes it anew):\n%s", path, got)
	}
	if strings.Contains(string(got), "secret-token") {
		t.Error("the Pod holds the agent's token, which whoever may look at Pods could read")
	}
}

func TestSecretOfAReplica(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := replicaSpec()
	r.Agent.NATS.CA = ca
	o := Options{Pool: "default", AgentNATS: "nats://from-inside:4222"}
	owner := o.pod(r, began)
	owner.UID = "uid"
	s, err := o.secret(r, owner)
	if err != nil {
		t.Fatal(err)
	}
	var cfg events.AgentConfig
	if err := json.Unmarshal(s.Data[agentFile], &cfg); err != nil {
		t.Fatal(err)
	}
	if !cfg.Attach || cfg.Port != DefaultPort || cfg.Replica != r.ID || cfg.Stream != r.Agent.Stream || cfg.NATS.URL != o.AgentNATS {
		t.Errorf("the agent is told %+v", cfg)
	}
	if cfg.NATS.Token != "" || cfg.NATS.TokenFile != "/etc/stoker/token" || string(s.Data["token"]) != "secret-token" {
		t.Errorf("the token, which must be renewable: %+v, %q", cfg.NATS, s.Data["token"])
	}
	if cfg.NATS.CA != "/etc/stoker/ca.crt" || string(s.Data["ca.crt"]) != "a certificate" {
		t.Errorf("the CA: %q, %q", cfg.NATS.CA, s.Data["ca.crt"])
	}
	if refs := s.OwnerReferences; len(refs) != 1 || refs[0].UID != "uid" || refs[0].Kind != "Pod" {
		t.Errorf("owners: %+v", refs)
	}
	r.Agent.NATS.CA = ca + ".missing"
	if _, err := o.secret(r, owner); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), r.ID) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestWhatAModelServerIsTold: who it is, no GPU where it has none, and values as the manifest has them.
func TestWhatAModelServerIsTold(t *testing.T) {
	r := replicaSpec()
	r.Spec.Resources.GPUs = 0
	r.Spec.Runtime.Env = []functions.EnvVar{{Name: "PRICE", Value: "$5 $(PORT) $$ $"}}
	got := map[string]string{}
	for _, v := range model(r).Env {
		got[v.Name] = v.Value
	}
	want := map[string]string{
		"PORT": "8080", "STOKER_REPLICA_ID": r.ID, "STOKER_FUNCTION": "team-a/chat", "NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": "",
		"PRICE": "$$5 $$(PORT) $$$$ $$", // as a kubelet unescapes it
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestWhatCannotBecomeAPod(t *testing.T) {
	r := replicaSpec()
	r.Spec.Runtime.Image = ""
	var o Options
	if err := o.checkSpec(r); !errors.Is(err, activities.ErrBadSpec) || !strings.Contains(err.Error(), "spec.runtime.image") {
		t.Errorf("no image: %v", err)
	}
	r = replicaSpec()
	r.ID = ""
	if err := o.checkSpec(r); !errors.Is(err, activities.ErrBadSpec) {
		t.Errorf("no ID: %v", err)
	}
}
