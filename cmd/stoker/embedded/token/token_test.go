package token

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

var (
	key    = []byte("0123456789abcdef0123456789abcdef")
	claims = Claims{
		Key: functions.Key{Namespace: "default", Name: "llm"}, Replica: "llm-1",
		Stream: "STOKER_FN_03",
	}
	now = time.Date(2026, 11, 27, 4, 0, 0, 0, time.UTC)
)

func TestMintedTokenIsVerified(t *testing.T) {
	want := claims
	want.Until = now.Add(Life).Unix()
	got, err := Verify(key, Mint(key, claims, now), now.Add(Life-time.Second))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestTokensExpireAndAreRenewed(t *testing.T) {
	old := Mint(key, claims, now)
	later := now.Add(Life)
	if got, err := Verify(key, old, later); !errors.Is(err, ErrExpired) || got != (Claims{}) {
		t.Errorf("an expired token: %+v, %v", got, err)
	}
	renewed, err := Renew(key, old, later)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Verify(key, renewed, later); err != nil || got.Replica != claims.Replica || !got.Expires().Equal(later.Add(Life)) {
		t.Errorf("the renewed token: %+v, %v", got, err)
	}
	if _, err := Renew([]byte("another key, another key, another"), old, later); !errors.Is(err, ErrInvalid) {
		t.Errorf("a token of another platform was renewed: %v", err)
	}
}

// TestNobodyLengthensATokensLife: the time is part of what is signed.
func TestNobodyLengthensATokensLife(t *testing.T) {
	old, young := Mint(key, claims, now), Mint(key, claims, now.Add(Life))
	forged := young[:strings.LastIndexByte(young, '.')] + old[strings.LastIndexByte(old, '.'):]
	if _, err := Verify(key, forged, now); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	good := Mint(key, claims, now)
	other := Mint([]byte("another key, another key, another"), claims, now)
	elsewhere := claims
	elsewhere.Key.Name = "victim"
	swapped := Mint(key, elsewhere, now)
	body, mac := good[:strings.LastIndexByte(good, '.')], good[strings.LastIndexByte(good, '.'):]
	for name, tok := range map[string]string{
		"empty": "", "text": "hello", "prefix only": prefix + ".", "other key": other, "no mac": body,
		"empty mac": body + ".", "cut mac": good[:len(good)-2], "grown": good + "A", "other version": "stoker-agent-v1" + strings.TrimPrefix(good, prefix),
		"body of one, mac of another": swapped[:strings.LastIndexByte(swapped, '.')] + mac,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Verify(key, tok, now); !errors.Is(err, ErrInvalid) {
				t.Errorf("accepted: %+v, %v", got, err)
			}
		})
	}
}

func TestClaimsThatAreNoTokensAreRefused(t *testing.T) {
	for _, bad := range []string{"", "*", ">", "a.b", "a b"} {
		for i, edit := range []func(*Claims){
			func(c *Claims) { c.Key.Namespace = bad }, func(c *Claims) { c.Key.Name = bad },
			func(c *Claims) { c.Replica = bad }, func(c *Claims) { c.Stream = bad },
		} {
			c := claims
			edit(&c)
			if _, err := Verify(key, Mint(key, c, now), now); !errors.Is(err, ErrInvalid) {
				t.Errorf("field %d = %q was accepted", i, bad)
			}
		}
	}
}

func FuzzVerifyRefusesWhatWasNotMinted(f *testing.F) {
	f.Add(Mint([]byte("k"), claims, now))
	f.Add(prefix + ".e30.")
	f.Fuzz(func(t *testing.T, tok string) {
		if _, err := Verify(key, tok, now); err == nil {
			t.Errorf("accepted %q", tok)
		}
	})
}
