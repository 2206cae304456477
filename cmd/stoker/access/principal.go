package access

import (
	"fmt"
	"slices"
	"strings"
)

// Everywhere is every namespace of a user's, those to come included.
const Everywhere = "*"

// Principal is somebody as the platform knows them. The zero value may do nothing.
type Principal struct {
	Name       string
	Role       Role
	Namespaces []string // or Everywhere alone
}

// Platform is the platform itself and whoever holds its token from the data directory.
func Platform() Principal {
	return Principal{Name: "the platform's token", Role: Admin, Namespaces: []string{Everywhere}}
}

// Nobody is a caller on loopback without credentials; alone tells that the platform knows no
// users.
func Nobody(alone bool) Principal {
	role := roleAnonymous
	if alone {
		role = roleLocal
	}
	return Principal{Role: role, Namespaces: []string{Everywhere}}
}

// Named tells whether the principal showed credentials.
func (p Principal) Named() bool { return p.Name != "" }

// In tells whether the principal has anything to do with a namespace; "" is the whole platform.
func (p Principal) In(namespace string) bool {
	return p.everywhere() || namespace != "" && namespace != Everywhere && slices.Contains(p.Namespaces, namespace)
}

func (p Principal) everywhere() bool { return slices.Contains(p.Namespaces, Everywhere) }

// May tells whether the principal may do something in a namespace; "" is the whole platform.
func (p Principal) May(a Action, namespace string) bool { return p.Role.may(a) && p.In(namespace) }

// Somewhere tells whether the principal may do something in at least one namespace.
func (p Principal) Somewhere(a Action) bool { return p.Role.may(a) && len(p.Namespaces) > 0 }

// Check is May with the reason why not: a [*DeniedError].
func (p Principal) Check(a Action, namespace string) error {
	if p.May(a, namespace) {
		return nil
	}
	return &DeniedError{Principal: p, Action: a, Namespace: namespace}
}

// Scope are the principal's namespaces in words.
func (p Principal) Scope() string {
	if p.everywhere() {
		return "every namespace"
	}
	return strings.Join(p.Namespaces, ", ")
}

// DeniedError says who may not do what, and who may.
type DeniedError struct {
	Principal Principal
	Action    Action
	Namespace string // "" is the whole platform
}

// Error is one line. It does not tell whether what was asked for exists.
func (e *DeniedError) Error() string {
	who := "a caller without a token"
	if e.Principal.Named() {
		who = fmt.Sprintf("%s (%s in %s)", e.Principal.Name, e.Principal.Role, e.Principal.Scope())
	}
	where := "for the whole platform"
	if e.Namespace != "" {
		where = "in namespace " + e.Namespace
	}
	return fmt.Sprintf("%s may not %s %s", who, e.Action, where)
}

// Hint says whose token would do.
func (e *DeniedError) Hint() string {
	var roles []string
	for _, r := range Roles() {
		if r.may(e.Action) {
			roles = append(roles, string(r))
		}
	}
	return "roles that may: " + strings.Join(roles, ", ") + "; `stoker user` manages users, and the CLI takes a token by --token or STOKER_TOKEN"
}
