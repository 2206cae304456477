package config_test

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"stoker.dev/stoker/cmd/stoker/config"
)

// clean removes every setting from the environment for the length of a test.
func clean(t *testing.T) {
	t.Helper()
	for _, name := range config.Variables() {
		t.Setenv(name, "") // restores it afterwards
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
}

func load(t *testing.T) config.Config {
	t.Helper()
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaultsAreValid(t *testing.T) {
	clean(t)
	c := load(t)
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Listen != "127.0.0.1:8080" || c.DrainGrace != 30*time.Second || !strings.HasSuffix(c.DataDir, "/stoker") {
		t.Errorf("defaults are %+v", c)
	}
}

// TestFlagsOverrideTheEnvironment reads every setting from its variable, then from its flag, and
// wants it told where it came from.
func TestFlagsOverrideTheEnvironment(t *testing.T) {
	clean(t)
	fields := reflect.TypeFor[config.Config]()
	for i := range fields.NumField() {
		f := fields.Field(i)
		t.Run(f.Name, func(t *testing.T) {
			clean(t)
			fromEnv, fromFlag := "a", "b"
			switch f.Type {
			case reflect.TypeFor[bool]():
				fromEnv, fromFlag = "true", "false"
			case reflect.TypeFor[int]():
				fromEnv, fromFlag = "3", "4"
			case reflect.TypeFor[time.Duration]():
				fromEnv, fromFlag = "3s", "4s"
			}
			variable, flag := f.Tag.Get("envconfig"), f.Tag.Get("flag")
			wantSetting(t, flag, "default", "", nil)
			t.Setenv(variable, fromEnv)
			wantSetting(t, flag, "environment", fromEnv, nil)
			wantSetting(t, flag, "flag", fromFlag, []string{"--" + flag + "=" + fromFlag})
		})
	}
}

// wantSetting loads with some flags and looks one setting up; an empty value is not compared.
func wantSetting(t *testing.T, flag, source, value string, args []string) {
	t.Helper()
	c := load(t)
	fs := pflag.NewFlagSet("up", pflag.ContinueOnError)
	c.Bind(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Settings(fs) {
		if s.Flag != "--"+flag {
			continue
		}
		if s.Source != source || (value != "" && s.Value != value) {
			t.Errorf("%s is %q from the %s, want %q from the %s", s.Variable, s.Value, s.Source, value, source)
		}
		return
	}
	t.Errorf("--%s is in no setting", flag)
}

func TestEverySettingIsDocumented(t *testing.T) {
	clean(t)
	c := load(t)
	fs := pflag.NewFlagSet("up", pflag.ContinueOnError)
	c.Bind(fs)
	settings := c.Settings(fs)
	if len(settings) != reflect.TypeFor[config.Config]().NumField() {
		t.Errorf("%d settings of %d fields", len(settings), reflect.TypeFor[config.Config]().NumField())
	}
	seen := map[string]bool{}
	for _, s := range settings {
		f := fs.Lookup(strings.TrimPrefix(s.Flag, "--"))
		switch {
		case len(s.Help) < 10 || len(s.Variable) < len("STOKER_A"):
			t.Errorf("%+v says too little", s)
		case f == nil || !strings.Contains(f.Usage, "[$"+s.Variable+"]"):
			t.Errorf("the help of %s does not name %s", s.Flag, s.Variable)
		case !strings.HasPrefix(s.Variable, "STOKER_"):
			t.Errorf("%s does not begin with STOKER_", s.Variable)
		case seen[s.Variable] || seen[s.Flag]:
			t.Errorf("%s or %s is given twice", s.Variable, s.Flag)
		}
		seen[s.Variable], seen[s.Flag] = true, true
	}
}

// TestVariablesOfOthersAreNotRead: the nats and temporal command lines have these in many a shell.
func TestVariablesOfOthersAreNotRead(t *testing.T) {
	clean(t)
	for _, name := range config.Variables() {
		t.Setenv(strings.TrimPrefix(name, "STOKER_"), "77")
	}
	if c := load(t); c.NATSURL != "" || c.TemporalAddress != "" || c.GPUs != 0 || c.Provider != "local" {
		t.Errorf("a variable without the prefix was read: %+v", c)
	}
}

func TestAVariableThatCannotBeReadSaysWhatIsAllowed(t *testing.T) {
	for variable, want := range map[string]string{
		"STOKER_GPUS=two":        `STOKER_GPUS="two" in the environment: allowed: a whole number, such as 2`,
		"STOKER_RANDOM_PORTS=ja": `STOKER_RANDOM_PORTS="ja" in the environment: allowed: true or false`,
		"STOKER_DRAIN_GRACE=30":  `STOKER_DRAIN_GRACE="30" in the environment: allowed: a duration, such as 30s`,
	} {
		clean(t)
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
		if _, err := config.Load(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", variable, err, want)
		}
	}
}

func TestValidateNamesFlagVariableValueAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*config.Config)
		want []string
	}{
		{"another provider", func(c *config.Config) { c.Provider = "slurm" }, []string{`--provider (STOKER_PROVIDER) "slurm": allowed: local, kubernetes, simulated`}},
		{"a cluster for nobody", func(c *config.Config) { c.Kubeconfig = "/k" }, []string{`--kubeconfig (STOKER_KUBECONFIG) "/k": allowed: nothing with --provider local`}},
		{"negative", func(c *config.Config) { c.GPUs, c.DrainGrace = -1, -time.Second }, []string{`"-1": allowed: 0 or more`, `"-1s": allowed: 0s or more`}},
		{"log", func(c *config.Config) { c.LogLevel, c.LogFormat = "loud", "xml" }, []string{"debug, info, warn, error", "text, json"}},
		{"pool", func(c *config.Config) { c.Pool = "My Pool" }, []string{"STOKER_POOL", "My Pool"}},
		{"sync", func(c *config.Config) { c.SyncInterval = time.Millisecond }, []string{`--sync-interval (STOKER_SYNC_INTERVAL) "1ms"`, "100ms to 2m0s, or 0"}},
		{"no records", func(c *config.Config) { c.Records = 0 }, []string{`--records (STOKER_RECORDS) "0": allowed: 1 or more`}},
		{"little room for records", func(c *config.Config) { c.RecordRoom = "1Mi" }, []string{`--record-room (STOKER_RECORD_ROOM) "1Mi"`, "16Mi"}},
		{"half a certificate", func(c *config.Config) { c.NATSURL, c.NATSCert = "nats://x", "c.pem" }, []string{"--nats-cert and --nats-key"}},
		{"credentials for nobody", func(c *config.Config) { c.NATSCreds = "x.creds" }, []string{"STOKER_NATS_CREDS", "--nats-url"}},
	} {
		clean(t)
		cfg := load(t)
		c.edit(&cfg)
		err := cfg.Validate()
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v; want %q in it", c.name, err, w)
			}
		}
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	clean(t)
	cfg := load(t)
	for listen, ok := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:0": true, "[::1]:80": true, "127.9.9.9:1": true,
		"0.0.0.0:8080": false, ":8080": false, "[::]:8080": false, "192.0.2.1:8080": false, "example.org:80": false, "8080": false, "localhost.example.org:80": false,
	} {
		cfg.Listen = listen
		err := cfg.Validate()
		if (err == nil) != ok {
			t.Errorf("%s: %v, want accepted: %v", listen, err, ok)
		}
		if err != nil && !strings.Contains(err.Error(), listen) {
			t.Errorf("the error does not name %s: %v", listen, err)
		}
	}
}

func TestProfilesAreOffOrOnLoopback(t *testing.T) {
	clean(t)
	cfg := load(t)
	for addr, ok := range map[string]bool{
		"": true, "127.0.0.1:0": true, "[::1]:6060": true, "localhost:6060": true,
		":6060": false, "0.0.0.0:6060": false, "6060": false, "192.0.2.1:6060": false,
	} {
		cfg.Pprof = addr
		err := cfg.Validate()
		if (err == nil) != ok {
			t.Errorf("%q: %v, want accepted: %v", addr, err, ok)
		}
		if err != nil && !strings.Contains(err.Error(), "--pprof (STOKER_PPROF)") {
			t.Errorf("the error does not name the setting: %v", err)
		}
	}
}

func TestPasswordsAreHidden(t *testing.T) {
	for in, want := range map[string]string{
		"nats://u:p@host:4222":        "nats://***@host:4222",
		"u:p@host:4222":               "***@host:4222",
		"tls://t@a:1,nats://u:p@b:2":  "tls://***@a:1,nats://***@b:2",
		"nats://u:p@ss@host":          "nats://***@host",
		"nats://host:4222,host2:4222": "nats://host:4222,host2:4222",
	} {
		clean(t)
		t.Setenv("STOKER_NATS_URL", in)
		wantSetting(t, "nats-url", "environment", want, nil)
	}
}

func TestMisspeltVariablesArePointedOut(t *testing.T) {
	for kv, want := range map[string]string{
		"STOKER_GPU=2":                  "did you mean STOKER_GPUS?",
		"STOKER_LOGLEVEL=debug":         "did you mean STOKER_LOG_LEVEL?",
		"STOKER_NATS_KEYS=secret":       "did you mean STOKER_NATS_NKEY or STOKER_NATS_KEY?",
		"STOKER_KUBERNETES_CONTEXT=x":   "`stoker config` lists those that are",
		"STOKER_GPUS=2":                 "",
		"STOKER_REPLICA_ID=default-x":   "",
		"PATH=/bin":                     "",
		"STOKERS_OWN=1":                 "",
		"STOKER_TEMPORALADDRESS=a:7233": "did you mean STOKER_TEMPORAL_ADDRESS?",
	} {
		got := config.Unknown([]string{"HOME=/root", kv})
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case want == "" && len(got) == 0:
		case want == "" || len(got) != 1 || !strings.HasPrefix(got[0], name+" ") || !strings.HasSuffix(got[0], want):
			t.Errorf("%s: %q, want %q", kv, got, want)
		case strings.Contains(got[0], value) && value == "secret":
			t.Errorf("%s: its value is repeated: %q", kv, got)
		}
	}
}

func TestUnknownIsInOrder(t *testing.T) {
	got := config.Unknown([]string{"STOKER_ZZZ=1", "STOKER_AAA=1"})
	if len(got) != 2 || !strings.HasPrefix(got[0], "STOKER_AAA") {
		t.Errorf("got %q", got)
	}
}

// TestLoggerTakesLevelAndFormat looks at what reaches standard error.
func TestLoggerTakesLevelAndFormat(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	saved := os.Stderr
	os.Stderr = w
	log := config.Config{LogLevel: "warn", LogFormat: "json"}.Logger()
	os.Stderr = saved
	log.Info("quiet")
	log.Warn("heard", "n", 1)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "quiet") || !strings.Contains(s, `"msg":"heard","n":1`) {
		t.Errorf("logged %q", s)
	}
}

// TestOtherMachinesNeedTLS: neither door opens to them without a certificate.
func TestOtherMachinesNeedTLS(t *testing.T) {
	clean(t)
	for _, c := range []struct {
		listen, nats, cert, key, natsURL string
		want                             string // "" is accepted
	}{
		{listen: "127.0.0.1:0", nats: "127.0.0.1"},
		{listen: "127.0.0.1:0", nats: "::1"},
		{listen: "0.0.0.0:0", nats: "127.0.0.1", want: "--listen 0.0.0.0:0: other machines"},
		{listen: ":0", nats: "127.0.0.1", want: "--listen :0: other machines"},
		{listen: "[::]:0", nats: "127.0.0.1", want: "other machines"},
		{listen: "127.0.0.1:0", nats: "0.0.0.0", want: "--nats-listen 0.0.0.0: other machines"},
		{listen: "0.0.0.0:0", nats: "::", want: "--listen 0.0.0.0:0, --nats-listen ::: other machines"},
		{listen: "0.0.0.0:0", nats: "0.0.0.0", cert: "c", key: "k"},
		{listen: "127.0.0.1:0", nats: "127.0.0.1", cert: "c", key: "k"},
		{listen: "127.0.0.1:0", nats: "127.0.0.1", cert: "c", want: "both or neither"},
		{listen: "127.0.0.1:0", nats: "127.0.0.1", key: "k", want: "both or neither"},
		{listen: "127.0.0.1:0", nats: "localhost", want: "an IP address"},
		{listen: "127.0.0.1:0", nats: "", want: "an IP address"},
		{listen: "127.0.0.1:0", nats: "0.0.0.0", cert: "c", key: "k", natsURL: "nats://elsewhere", want: "only without --nats-url"},
	} {
		cfg := load(t)
		cfg.Listen, cfg.NATSListen, cfg.TLSCert, cfg.TLSKey, cfg.NATSURL = c.listen, c.nats, c.cert, c.key, c.natsURL
		err := cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestUsersFile(t *testing.T) {
	clean(t)
	c := load(t)
	if got := c.UsersFile(); got != c.DataDir+"/users.yaml" {
		t.Errorf("%s", got)
	}
	if c.Users = "/etc/stoker/users.yaml"; c.UsersFile() != c.Users {
		t.Errorf("%s", c.UsersFile())
	}
}

// TestALogLineIsOneLine: what is logged of others cannot make lines of its own, nor reach a terminal as a command.
func TestALogLineIsOneLine(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		stderr := os.Stderr
		os.Stderr = w
		log := config.Config{LogLevel: "info", LogFormat: format}.Logger()
		os.Stderr = stderr
		log.Info("asked\nlevel=ERROR", "id", "x\r\nlevel=ERROR msg=forged", "title", "\x1b]0;x\x07", "key\nlevel=ERROR", "y")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := out.ReadFrom(r); err != nil {
			t.Fatal(err)
		}
		if line := strings.TrimSuffix(out.String(), "\n"); strings.ContainsAny(line, "\n\r\x1b\x07") {
			t.Errorf("%s: %q", format, line)
		}
	}
}
