// Package terminal keeps what others wrote from doing anything to the terminal it is shown on.
//
// Names are checked where they come in, but messages, ids of events, answers and the output of
// model servers are somebody else's text: it may hold escape sequences that clear the screen, set
// the title or write into the clipboard, carriage returns that overwrite a line, or characters that
// turn the direction of writing. Shown, they become what Go would write for them (\x1b, \u202e);
// colours are left out, lines stay lines.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Is tells whether a writer is a terminal.
func Is(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Text is w for text that others wrote: safe where w is a terminal, w itself where a program reads
// it, which gets every byte.
func Text(w io.Writer) io.Writer {
	if Is(w) {
		return Safe(w)
	}
	return w
}

// Safe makes what is written through it harmless. What could be the beginning of a longer
// sequence waits for the next write; an end that never comes is not shown.
func Safe(w io.Writer) io.Writer { return &safe{w: w} }

type safe struct {
	w    io.Writer
	held []byte
}

// Write implements [io.Writer].
func (s *safe) Write(p []byte) (int, error) {
	text := append(s.held, p...)
	var out bytes.Buffer
	for len(text) > 0 {
		n := next(&out, text)
		if n == 0 {
			break
		}
		text = text[n:]
	}
	s.held = bytes.Clone(text)
	if _, err := s.w.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// next writes what the beginning of text becomes and returns how much that was; 0: more must come.
func next(out *bytes.Buffer, text []byte) int {
	switch text[0] {
	case '\r':
		if len(text) == 1 {
			return 0
		}
		if text[1] != '\n' {
			out.WriteByte('\n')
		}
		return 1
	case '\n', '\t':
		out.WriteByte(text[0])
		return 1
	case escape:
		if n, whole := colour(text); n > 0 || !whole {
			return n
		}
	}
	if !utf8.FullRune(text) {
		return 0
	}
	r, n := utf8.DecodeRune(text)
	out.WriteString(shown(r, text[:n]))
	return n
}

const escape = 0x1b

// maxColour bounds a sequence that could be a colour: ESC [ parameters m.
const maxColour = 32

// colour is the length of the colour that text begins with, 0 if it is none; whole is false where
// that cannot be said yet.
func colour(text []byte) (n int, whole bool) {
	for i, c := range text[:min(len(text), maxColour)] {
		switch {
		case i == 0:
		case i == 1 && c == '[':
		case i > 1 && (c >= '0' && c <= '9' || c == ';' || c == ':'):
		case i > 1 && c == 'm':
			return i + 1, true
		default:
			return 0, true
		}
	}
	return 0, len(text) >= maxColour
}

// shown is how a character is shown: as it is where it can be seen and does nothing else.
func shown(r rune, raw []byte) string {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case unicode.IsPrint(r), unicode.Is(unicode.Zs, r), r == zeroWidthJoiner, r == zeroWidthNonJoiner:
		return string(r)
	case r < utf8.RuneSelf:
		return fmt.Sprintf(`\x%02x`, r)
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// Scripts and emoji need these two; they have no effect on what is around them.
const (
	zeroWidthJoiner    = 0x200d
	zeroWidthNonJoiner = 0x200c
)

// Line is a text on one line, for a cell of a table or a word in a sentence.
func Line(s string) string {
	var b strings.Builder
	for rest := s; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		switch r {
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			b.WriteString(shown(r, []byte(rest[:n])))
		}
		rest = rest[n:]
	}
	return b.String()
}
