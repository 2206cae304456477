package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTheTable is the table of the package's documentation, written out once more.
func TestTheTable(t *testing.T) {
	for role, want := range map[Role]string{
		Admin: "look invoke read-records deploy read-logs use-dead-letters administer", Deployer: "look invoke read-records deploy read-logs use-dead-letters",
		Caller: "look invoke read-records", Viewer: "look", roleLocal: "look invoke read-records", roleAnonymous: "look invoke", "": "", "root": "",
	} {
		var got []string
		for _, a := range Actions() {
			if (Principal{Role: role, Namespaces: []string{"a"}}).May(a, "a") {
				got = append(got, strings.ReplaceAll(string(a), " ", "-"))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q may %q, want %q", role, got, want)
		}
	}
}

func TestThoseWithoutCredentials(t *testing.T) {
	if p := Nobody(true); !p.May(ReadRecords, "a") || p.May(Deploy, "a") || p.Named() {
		t.Errorf("before there are users: %+v", p)
	}
	if p := Nobody(false); p.May(ReadRecords, "a") || !p.May(Invoke, "a") || !p.May(Look, "") {
		t.Errorf("once there are users: %+v", p)
	}
	for _, a := range Actions() {
		if !Platform().May(a, "a") || !Platform().May(a, "") {
			t.Errorf("the platform's token may not %s", a)
		}
		if (Principal{}).May(a, "") || (Principal{}).Somewhere(a) {
			t.Errorf("the zero value may %s", a)
		}
	}
}

var anyNamespace = rapid.SampledFrom([]string{"a", "b", "c", "*", ""})

func anyPrincipal(t *rapid.T) Principal {
	return Principal{
		Name: "p", Role: rapid.SampledFrom([]Role{Admin, Deployer, Caller, Viewer, roleLocal, roleAnonymous, "x", ""}).Draw(t, "role"),
		Namespaces: rapid.SliceOfN(anyNamespace, 0, 3).Draw(t, "namespaces"),
	}
}

// TestProperties hold for every principal, action and namespace.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPrincipal(t)
		a := rapid.SampledFrom(Actions()).Draw(t, "action")
		ns := anyNamespace.Draw(t, "namespace")
		may := p.May(a, ns)
		everywhere := slices.Contains(p.Namespaces, Everywhere)
		if may && !everywhere && (ns == "" || ns == Everywhere || !slices.Contains(p.Namespaces, ns)) {
			t.Fatalf("%+v may %s in %q, where it has nothing to do", p, a, ns)
		}
		if may && !p.May(a, "a") && !p.May(a, "b") && !p.May(a, "c") {
			t.Fatalf("%+v may %s in %q and in no namespace", p, a, ns)
		}
		if may && !p.Somewhere(a) {
			t.Fatalf("%+v may %s in %q, but not somewhere", p, a, ns)
		}
		if more := p; may {
			if more.Role = Admin; !more.May(a, ns) {
				t.Fatalf("an admin may less than %+v", p)
			}
		}
		if err := p.Check(a, ns); (err == nil) != may {
			t.Fatalf("Check says %v, May %t", err, may)
		}
		fewer := p
		fewer.Namespaces = p.Namespaces[:len(p.Namespaces)/2]
		if fewer.May(a, ns) && !may {
			t.Fatalf("fewer namespaces, more rights: %+v", p)
		}
	})
}

func TestDeniedSaysWhoAndWhoMay(t *testing.T) {
	alice := Principal{Name: "alice", Role: Caller, Namespaces: []string{"a", "b"}}
	var denied *DeniedError
	if err := alice.Check(Deploy, "a"); !errors.As(err, &denied) || err.Error() != "alice (caller in a, b) may not deploy in namespace a" ||
		!strings.Contains(denied.Hint(), "admin, deployer;") {
		t.Errorf("%v", err)
	}
	if err := Nobody(true).Check(Administer, ""); err == nil || err.Error() != "a caller without a token may not administer for the whole platform" {
		t.Errorf("%v", err)
	}
}

const (
	goodHash = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	goodKey  = "UAABAEA2JSBGAZAJGYSEQAAXQHXO5MDPXVJZEFSJJBMBTKJ7MFTMPZ5G"
)

func TestUsersFile(t *testing.T) {
	token := NewToken("alice")
	u, err := Users{}.With(User{Name: "alice", Role: Caller, Namespaces: []string{"a", "b"}, Token: Hash(token)})
	if err != nil {
		t.Fatal(err)
	}
	if u, err = u.With(User{Name: "ci", Role: Deployer, Namespaces: []string{Everywhere}, Token: Hash(NewToken("ci"))}); err != nil {
		t.Fatal(err)
	}
	data, err := u.Format()
	if err != nil || strings.Contains(string(data), token) {
		t.Fatalf("%v\n%s", err, data)
	}
	got, err := ParseUsers(data)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(u) {
		t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, u)
	}
	if empty, err := ParseUsers(nil); err != nil || len(empty.List) != 0 {
		t.Errorf("an empty file: %+v, %v", empty, err)
	}
}

// TestUsersFileIsStrict: whatever is not understood lets nobody in.
func TestUsersFileIsStrict(t *testing.T) {
	entry := func(fields string) string { return "users:\n- {" + fields + "}\n" }
	good := "name: a, role: caller, namespaces: [x], tokenHash: '" + goodHash + "'"
	if _, err := ParseUsers([]byte(entry(good))); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"unknown field":         entry(good + ", admin: true"),
		"unknown top field":     entry(good) + "more: 1\n",
		"second document":       entry(good) + "---\n" + entry(good),
		"twice the same name":   entry(good) + "- {name: a, role: caller, namespaces: [x], tokenHash: '" + strings.Replace(goodHash, "0", "1", 1) + "'}\n",
		"twice the same token":  entry(good) + "- {" + strings.Replace(good, "name: a", "name: b", 1) + "}\n",
		"unknown role":          entry(strings.Replace(good, "caller", "root", 1)),
		"role of nobody":        entry(strings.Replace(good, "caller", "local", 1)),
		"name as wildcard":      entry(strings.Replace(good, "name: a", "name: '*'", 1)),
		"name with a dot":       entry(strings.Replace(good, "name: a", "name: a.b", 1)),
		"no name":               entry(strings.Replace(good, "name: a", "name: ''", 1)),
		"no namespace":          entry(strings.Replace(good, "[x]", "[]", 1)),
		"namespace as wildcard": entry(strings.Replace(good, "[x]", "['>']", 1)),
		"all and one":           entry(strings.Replace(good, "[x]", "['*', x]", 1)),
		"namespace with a dot":  entry(strings.Replace(good, "[x]", "[x.y]", 1)),
		"admin of one":          entry(strings.Replace(good, "caller", "admin", 1)),
		"no credentials":        entry("name: a, role: caller, namespaces: [x]"),
		"a token in clear":      entry(strings.Replace(good, goodHash, "secret", 1)),
		"hash in upper case":    entry(strings.Replace(good, goodHash, strings.ToUpper(goodHash), 1)),
		"a short hash":          entry(strings.Replace(good, goodHash, goodHash[:20], 1)),
		"an nkey that is none":  entry("name: a, role: caller, namespaces: [x], nkey: " + goodKey),
		"no YAML":               "users: [",
		"a list of strings":     "users: [alice]",
	} {
		if u, err := ParseUsers([]byte(text)); !errors.Is(err, ErrUsers) {
			t.Errorf("%s was accepted: %+v, %v", what, u, err)
		}
	}
}

func TestEdits(t *testing.T) {
	first := NewToken("alice")
	u, err := Users{}.With(User{Name: "alice", Role: Viewer, Namespaces: []string{Everywhere}, Token: Hash(first)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.With(u.List[0]); !errors.Is(err, ErrUserExists) {
		t.Errorf("a second alice: %v", err)
	}
	rotated, err := u.WithToken("alice", NewToken("alice"))
	if err != nil || rotated.List[0].Token == Hash(first) || u.List[0].Token != Hash(first) {
		t.Errorf("%+v, %v", rotated, err)
	}
	if _, err := u.WithToken("alcie", first); !errors.Is(err, ErrNoUser) || !strings.Contains(err.Error(), "did you mean alice?") {
		t.Errorf("%v", err)
	}
	if left, err := u.Without("alice"); err != nil || len(left.List) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
	if _, err := u.Without("bob"); !errors.Is(err, ErrNoUser) {
		t.Errorf("%v", err)
	}
}

func FuzzParseUsers(f *testing.F) {
	f.Add("users:\n- {name: a, role: admin, namespaces: ['*'], tokenHash: '" + goodHash + "'}\n")
	f.Add("users: &x\n- *x\n")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseUsers([]byte(text))
		if err != nil {
			return
		}
		for _, x := range u.List {
			if strings.ContainsAny(x.Name+strings.Join(x.Namespaces, ""), ".> \t\r\n") || x.Token == "" && x.NKey == "" {
				t.Errorf("accepted %+v", x)
			}
		}
		if data, err := u.Format(); err != nil {
			t.Errorf("%v\n%s", err, data)
		}
	})
}
