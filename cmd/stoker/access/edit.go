package access

import (
	"fmt"
	"slices"

	"stoker.dev/stoker/functions"
)

// Find is the user of a name.
func (u Users) Find(name string) (User, bool) {
	i := u.index(name)
	if i < 0 {
		return User{}, false
	}
	return u.List[i], true
}

func (u Users) index(name string) int {
	return slices.IndexFunc(u.List, func(x User) bool { return x.Name == name })
}

// With are the users and one more. Errors: [ErrUserExists], [ErrUsers].
func (u Users) With(x User) (Users, error) {
	if _, ok := u.Find(x.Name); ok {
		return u, fmt.Errorf("%w: %s; `stoker user rotate %s` gives it a new token, `stoker user remove %s` takes it away", ErrUserExists, x.Name, x.Name, x.Name)
	}
	out := Users{append(slices.Clone(u.List), x)}
	return out, out.check()
}

// Without are the users less one. Error: [ErrNoUser].
func (u Users) Without(name string) (Users, error) {
	i := u.index(name)
	if i < 0 {
		return u, u.noUser(name)
	}
	return Users{slices.Delete(slices.Clone(u.List), i, i+1)}, nil
}

// WithToken are the users, one of them with another token. Error: [ErrNoUser].
func (u Users) WithToken(name, token string) (Users, error) {
	i := u.index(name)
	if i < 0 {
		return u, u.noUser(name)
	}
	out := Users{slices.Clone(u.List)}
	out.List[i].Token = Hash(token)
	return out, out.check()
}

func (u Users) noUser(name string) error {
	var names []string
	for _, x := range u.List {
		names = append(names, x.Name)
	}
	hint := "`stoker user list` shows those there are"
	if near := functions.Closest(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	return fmt.Errorf("%w: %s; %s", ErrNoUser, name, hint)
}
