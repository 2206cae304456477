package server

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strings"

	"stoker.dev/stoker/events"
)

// Masked stands for a secret in the output of a model server.
const Masked = "(hidden)"

// minMasked is the length, in bytes, from which a secret is masked: a shorter one is no secret
// that holds, and masking it would blank ordinary words.
const minMasked = 6

// Secrets are the values of a replica's secret variables, for [Options].
func Secrets(c events.AgentConfig) []string {
	var out []string
	for _, kv := range c.Env {
		if name, value, _ := strings.Cut(kv, "="); slices.Contains(c.Secrets, name) {
			out = append(out, value)
		}
	}
	return out
}

// mask replaces secrets in what is written through it, also where one comes in several writes:
// what could be the beginning of one is held back until the next write or flush.
type mask struct {
	to      io.Writer
	secrets [][]byte // longest first, so that one which contains another is masked as a whole
	held    []byte
}

func newMask(to io.Writer, secrets []string) *mask {
	m := &mask{to: to}
	for _, s := range secrets {
		if len(s) >= minMasked {
			m.secrets = append(m.secrets, []byte(s))
		}
	}
	slices.SortFunc(m.secrets, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	return m
}

// Write never holds up the server: what its writer refuses is lost.
func (m *mask) Write(p []byte) (int, error) {
	if len(m.secrets) == 0 {
		_, _ = m.to.Write(p)
		return len(p), nil
	}
	text := append(m.held, p...)
	at := 0
	if !slices.ContainsFunc(m.secrets, func(s []byte) bool { return bytes.Contains(text, s) }) {
		at = max(0, len(text)-len(m.secrets[0])+1) // before that none begins, and searching for one is fast
	}
	out := text[:at:at]
	for at < len(text) {
		n, open := m.match(text[at:])
		if open {
			break
		}
		if n > 0 {
			out, at = append(out, Masked...), at+n
			continue
		}
		out, at = append(out, text[at]), at+1
	}
	_, _ = m.to.Write(out)
	m.held = slices.Clone(text[at:])
	return len(p), nil
}

// match tells how long the longest secret is that text begins with, 0 if none; open means that
// a longer one may yet come of it.
func (m *mask) match(text []byte) (n int, open bool) {
	for _, s := range m.secrets {
		if bytes.HasPrefix(text, s) {
			return len(s), false
		}
		if bytes.HasPrefix(s, text) {
			return 0, true
		}
	}
	return 0, false
}

// Hide masks secrets in a whole text.
func Hide(text []byte, secrets []string) []byte {
	var out bytes.Buffer
	m := newMask(&out, secrets)
	_, _ = m.Write(text)
	m.flush()
	return out.Bytes()
}

// flush writes what was held back: nothing follows that could make more of it.
func (m *mask) flush() {
	for _, s := range m.secrets {
		m.held = bytes.ReplaceAll(m.held, s, []byte(Masked))
	}
	_, _ = m.to.Write(m.held)
	m.held = nil
}
