package token

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
)

var (
	key    = []byte("0123456789abcdef0123456789abcdef")
	claims = Claims{
		Key: functions.Key{Namespace: "default", Name: "llm"}, Replica: "llm-1",
		Stream: "STOKER_FN_03", Consumers: []string{"default_llm_interactive", "default_llm_batch"},
	}
)

func TestMintedTokenIsVerified(t *testing.T) {
	got, err := Verify(key, Mint(key, claims))
	if err != nil || !reflect.DeepEqual(got, claims) {
		t.Fatalf("got %+v, %v; want %+v", got, err, claims)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	good := Mint(key, claims)
	other := Mint([]byte("another key, another key, another"), claims)
	elsewhere := claims
	elsewhere.Key.Name = "victim"
	swapped := Mint(key, elsewhere)
	body, mac := good[:strings.LastIndexByte(good, '.')], good[strings.LastIndexByte(good, '.'):]
	for name, tok := range map[string]string{
		"empty": "", "text": "hello", "prefix only": prefix + ".", "other key": other, "no mac": body,
		"empty mac": body + ".", "cut mac": good[:len(good)-2], "grown": good + "A", "other version": "stoker-agent-v2" + strings.TrimPrefix(good, prefix),
		"body of one, mac of another": swapped[:strings.LastIndexByte(swapped, '.')] + mac,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Verify(key, tok); !errors.Is(err, ErrInvalid) {
				t.Errorf("accepted: %+v, %v", got, err)
			}
		})
	}
}

func TestClaimsThatAreNoTokensAreRefused(t *testing.T) {
	for _, bad := range []string{"", "*", ">", "a.b", "a b"} {
		for i, edit := range []func(*Claims){
			func(c *Claims) { c.Key.Namespace = bad }, func(c *Claims) { c.Key.Name = bad },
			func(c *Claims) { c.Replica = bad }, func(c *Claims) { c.Stream = bad }, func(c *Claims) { c.Consumers = []string{bad} },
		} {
			c := claims
			edit(&c)
			if _, err := Verify(key, Mint(key, c)); !errors.Is(err, ErrInvalid) {
				t.Errorf("field %d = %q was accepted", i, bad)
			}
		}
	}
}

func FuzzVerifyRefusesWhatWasNotMinted(f *testing.F) {
	f.Add(Mint([]byte("k"), claims))
	f.Add(prefix + ".e30.")
	f.Fuzz(func(t *testing.T, tok string) {
		if _, err := Verify(key, tok); err == nil {
			t.Errorf("accepted %q", tok)
		}
	})
}
