package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
	"go.yaml.in/yaml/v3"

	"stoker.dev/stoker/functions"
)

// MaxUsers bounds a users file. Every user is looked at when the file is read, not per request.
const MaxUsers = 10_000

// User is one entry of the users file. It has a token, by its hash, or an nkey, by its public
// key, or both.
type User struct {
	Name       string   `yaml:"name"`
	Role       Role     `yaml:"role"`
	Namespaces []string `yaml:"namespaces,flow"`
	Token      string   `yaml:"tokenHash,omitempty"` // see [Hash]
	NKey       string   `yaml:"nkey,omitempty"`      // public, starts with U
}

// Principal is who the user is.
func (u User) Principal() Principal {
	return Principal{Name: u.Name, Role: u.Role, Namespaces: slices.Clone(u.Namespaces)}
}

// Users is a users file, in its order.
type Users struct {
	List []User `yaml:"users"`
}

// header is what a users file begins with.
const header = "# Who may use this platform. `stoker user` writes this file; a running platform reads it\n" +
	"# again whenever it changes. Tokens are kept as hashes and cannot be read back.\n"

// ParseUsers reads a users file. It is strict: an unknown field, a second document or a user
// that is not whole refuses all of it. Errors: [ErrUsers].
func ParseUsers(data []byte) (Users, error) {
	var u Users
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&u); err != nil && !errors.Is(err, io.EOF) {
		return Users{}, fmt.Errorf("%w: %w", ErrUsers, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Users{}, fmt.Errorf("%w: something follows the list; want one YAML document", ErrUsers)
	}
	return u, u.check()
}

// Format is the file that [ParseUsers] reads.
func (u Users) Format() ([]byte, error) {
	if err := u.check(); err != nil {
		return nil, err
	}
	data, err := yaml.Marshal(u)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsers, err)
	}
	return append([]byte(header), data...), nil
}

// check finds all that is wrong.
func (u Users) check() error {
	if len(u.List) > MaxUsers {
		return fmt.Errorf("%w: %d users; allowed: %d", ErrUsers, len(u.List), MaxUsers)
	}
	var errs []error
	names, keys := map[string]bool{}, map[string]bool{}
	for i, x := range u.List {
		errs = append(errs, x.check(i))
		if names[x.Name] {
			errs = append(errs, wrong(i, "name", x.Name, "a name that no other user has"))
		}
		names[x.Name] = true
		for field, key := range map[string]string{"tokenHash": x.Token, "nkey": x.NKey} {
			if key != "" && keys[key] {
				errs = append(errs, wrong(i, field, key, "one that no other user has"))
			}
			keys[key] = true
		}
	}
	return errors.Join(errs...)
}

func (u User) check(i int) error {
	var errs []error
	if !functions.ValidName(u.Name) {
		errs = append(errs, wrong(i, "name", u.Name, "1 to 63 of a-z, 0-9 and -"))
	}
	if !slices.Contains(Roles(), u.Role) {
		errs = append(errs, wrong(i, "role", string(u.Role), words(Roles())))
	}
	if u.Token == "" && u.NKey == "" {
		errs = append(errs, wrong(i, "tokenHash", "", "a token's hash or an nkey; `stoker user add` makes them"))
	}
	if u.Token != "" && !validHash(u.Token) {
		errs = append(errs, wrong(i, "tokenHash", u.Token, hashPrefix+"…, as `stoker user add` writes it"))
	}
	if u.NKey != "" && !nkeys.IsValidPublicUserKey(u.NKey) {
		errs = append(errs, wrong(i, "nkey", u.NKey, "the public key of a user, which starts with U"))
	}
	return errors.Join(append(errs, u.checkNamespaces(i))...)
}

func (u User) checkNamespaces(i int) error {
	everywhere := slices.Contains(u.Namespaces, Everywhere)
	if len(u.Namespaces) == 0 || everywhere && len(u.Namespaces) > 1 {
		return wrong(i, "namespaces", strings.Join(u.Namespaces, ", "), `some namespaces, or ["*"] for all`)
	}
	if u.Role == Admin && !everywhere {
		return wrong(i, "namespaces", strings.Join(u.Namespaces, ", "), `["*"] for an admin, who sees everything through Temporal; a deployer has namespaces`)
	}
	for _, ns := range u.Namespaces {
		if ns != Everywhere && !functions.ValidName(ns) {
			return wrong(i, "namespaces", ns, "1 to 63 of a-z, 0-9 and -")
		}
	}
	return nil
}

func wrong(i int, field, value, allowed string) error {
	return fmt.Errorf("%w: users[%d].%s %q: allowed: %s", ErrUsers, i, field, value, allowed)
}

func words(roles []Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return strings.Join(out, ", ")
}
