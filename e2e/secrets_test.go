package e2e

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/functions"
)

// Secrets of the test, recognisable wherever they turn up.
const (
	secretInFile     = "s3cret-of-the-hub-0f9c"
	secretInManifest = "s3cret-in-the-manifest-77aa"
	secretOfPlatform = "s3cret-of-the-platform-d1d1"
)

// notExpanded would bring the platform's environment into a model server, if anybody expanded it.
const notExpanded = "$AWS_SECRET_ACCESS_KEY ${AWS_SECRET_ACCESS_KEY} $(env) `env`"

// TestSecretsStayWhereTheyBelong gives a function secrets, lets its model server print them and crash, uses every
// verb, and then looks for them in everything the platform said and wrote.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	p := harness.New(t, harness.Options{Env: []string{"AWS_SECRET_ACCESS_KEY=" + secretOfPlatform, "STOKER_LOG_LEVEL=debug"}})
	putSecret(t, p.Dir, "hub", "token", secretInFile)
	p.Start()
	f := p.Function("keeper")
	f.Spec.Runtime.Env = append(f.Spec.Runtime.Env,
		functions.EnvVar{Name: "HUB_TOKEN", ValueFrom: &functions.EnvSource{SecretKeyRef: &functions.SecretKeyRef{Name: "hub", Key: "token"}}},
		functions.EnvVar{Name: "PASSWORD", Value: secretInManifest},
		functions.EnvVar{Name: "LITERAL", Value: notExpanded},
	)
	p.Apply(f)

	checkEnviron(t, mustInvoke(t, p, "keeper", `{"do":"tell"}`))
	p.MustPublish(p.JetStream(), "keeper", functions.Standard, `{"do":"crash"}`)
	p.Await("keeper", "a crash that is told", func(f api.Function) bool { return f.Failure != nil })

	token := p.Server.AdminToken
	said := everythingSaid(t, p)
	contains(t, "what was said", said, "HUB_TOKEN", functions.HiddenValue, "keeper") // the search would find something
	p.Drain()
	said += p.Log()
	for _, secret := range []string{secretInFile, secretInManifest, secretOfPlatform, token} {
		if i := strings.Index(said, secret); i >= 0 {
			t.Errorf("%s was said: …%s…", secret, said[max(0, i-200):min(len(said), i+200)])
		}
	}
	homes := whereWritten(t, p.Dir, secretInFile, secretInManifest, secretOfPlatform, token)
	for secret, allowed := range map[string][]string{
		secretInFile:     {"secrets/hub/token", "replicas/*/agent.json"},
		secretInManifest: {"nats/jetstream/*/streams/KV_STOKER_FUNCTIONS/msgs/*", "replicas/*/agent.json"},
		secretOfPlatform: {},
		token:            {"keys/admin.token"},
	} {
		for _, path := range homes[secret] {
			if !slices.ContainsFunc(allowed, func(pattern string) bool { ok, _ := filepath.Match(pattern, path); return ok }) {
				t.Errorf("%s was written to %s; allowed: %v", secret, path, allowed)
			}
		}
	}
	if len(homes[secretInManifest]) == 0 || len(homes[token]) == 0 {
		t.Errorf("the search finds nothing where something is: %v", homes)
	}
	if in := whereWritten(t, p.Dir, "function/default/keeper"); !slices.ContainsFunc(in["function/default/keeper"], func(s string) bool { return strings.HasPrefix(s, "temporal.db") }) {
		t.Errorf("the search does not see into Temporal's file: %v", in)
	}
}

// checkEnviron holds what a model server gets: its manifest's variables, those of the platform's contract, and what
// a program needs to find its tools; more is what there is beside it.
func checkEnviron(t *testing.T, environ string, more ...string) {
	t.Helper()
	allowed := append([]string{
		"PATH", "HOME", "LANG", "TMPDIR", "PORT", "CUDA_VISIBLE_DEVICES",
		"STOKER_REPLICA_ID", "STOKER_FUNCTION", "STOKER_SIMULATED_GPUS",
		"E2E_DATA", "HUB_TOKEN", "PASSWORD", "LITERAL", // the manifest's
	}, more...)
	contains(t, "the model server's environment", environ, "HUB_TOKEN="+secretInFile, "PASSWORD="+secretInManifest, "LITERAL="+notExpanded)
	for _, line := range strings.Split(environ, "\n") {
		if name, _, _ := strings.Cut(line, "="); !slices.Contains(allowed, name) {
			t.Errorf("a model server has %q in its environment", name)
		}
	}
}

func putSecret(t *testing.T, dir, name, key, value string) {
	t.Helper()
	path := filepath.Join(dir, "secrets", name, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// everythingSaid is what the verbs print and the pages show of a platform with one function.
func everythingSaid(t *testing.T, p *harness.Platform) string {
	t.Helper()
	var said strings.Builder
	for _, args := range [][]string{
		{"get"}, {"get", "keeper", "-o", "yaml"}, {"get", "-A", "-o", "json"}, {"describe", "keeper"}, {"describe", "keeper", "-o", "json"},
		{"explain", "keeper", "-o", "json"}, {"explain", "keeper"}, {"status", "-o", "json"}, {"config", "-o", "json"},
		{"logs", "keeper"}, {"queue", "list", "-o", "json"}, {"events", "--no-follow"},
	} {
		stdout, stderr, _ := tryStoker(t, p, args...)
		said.WriteString(stdout + stderr)
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/"} {
		resp, err := http.Get(p.Server.HTTP + path)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		said.WriteString(body.String())
	}
	return said.String()
}

// whereWritten finds the files below dir that hold a text, relative to dir.
func whereWritten(t *testing.T, dir string, texts ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(path, filepath.Join(dir, "bin")) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		for _, text := range texts {
			if bytes.Contains(data, []byte(text)) {
				found[text] = append(found[text], rel)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
