package terminal

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

var hostile = map[string]string{
	"clear the screen":     "\x1b[2J\x1b[H",
	"set the title":        "\x1b]0;pwned\x07",
	"write the clipboard":  "\x1b]52;c;cm0gLXJmIC8=\x07",
	"ask for an answer":    "\x1b[c\x1bP$q\"p\x1b\\",
	"eight-bit sequences":  "\u009b2J\u009d0;x\u009c",
	"turn the direction":   "abc\u202edcba\u2066x\u2069\u200e\u200f\u061c",
	"overwrite the line":   "rm -rf /\rls       ",
	"step back":            "bad\b\b\bgood",
	"a forged log line":    "x\nlevel=ERROR msg=\"all is lost\"",
	"no text":              "\x00\xff\xfe\xc3\x28",
	"invisible characters": "a\u200bb\ufeffc\u2028d\U000e0041e",
	"a colour cut short":   "\x1b[31",
	"a long not-colour":    "\x1b[" + strings.Repeat("1;", 60) + "J",
}

func TestNothingHostileReachesTheTerminal(t *testing.T) {
	for name, text := range hostile {
		for size := 1; size <= len(text); size++ {
			var out bytes.Buffer
			w := Safe(&out)
			for rest := text; rest != ""; {
				n := min(size, len(rest))
				if wrote, err := w.Write([]byte(rest[:n])); wrote != n || err != nil {
					t.Fatal(wrote, err)
				}
				rest = rest[n:]
			}
			harmless(t, fmt.Sprintf("%s, in writes of %d", name, size), strings.ReplaceAll(out.String(), "\n", ""))
		}
		line := Line(text)
		harmless(t, name+", on a line", line)
		if strings.Contains(line, "\n") {
			t.Errorf("%s: more than one line: %q", name, line)
		}
	}
}

func harmless(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: no text: %q", what, text)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) {
			t.Errorf("%s: %U in %q", what, r, text)
		}
	}
}

func TestTextStaysAsItIs(t *testing.T) {
	for in, want := range map[string]string{
		"plain\tand\nlines\n":            "plain\tand\nlines\n",
		"Grüße, 世界 👩\u200d🚀 שלום\u00a0x": "Grüße, 世界 👩\u200d🚀 שלום\u00a0x",
		"\x1b[32mINFO\x1b[0m: started":   "INFO: started",
		"\x1b[38;5;12mblue\x1b[m":        "blue",
		"windows\r\nlines\r\n":           "windows\nlines\n",
		"10 %\r20 %\r30 %\n":             "10 %\n20 %\n30 %\n",
		"esc \x1b end":                   `esc \x1b end`,
	} {
		for size := 1; size <= len(in); size++ {
			var out bytes.Buffer
			w := Safe(&out)
			for rest := in; rest != ""; rest = rest[min(size, len(rest)):] {
				_, _ = w.Write([]byte(rest[:min(size, len(rest))]))
			}
			if out.String() != want {
				t.Fatalf("%q in writes of %d: %q, want %q", in, size, out.String(), want)
			}
		}
	}
	if got := Line("a\tb\r\nc\x1b"); got != `a\tb\r\nc\x1b` {
		t.Errorf("line %q", got)
	}
}

// TestProgramsGetEveryByte: only a terminal is protected, a real one.
func TestProgramsGetEveryByte(t *testing.T) {
	var buf bytes.Buffer
	_, _ = Text(&buf).Write([]byte("\x1b[2J"))
	if buf.String() != "\x1b[2J" {
		t.Errorf("a pipe gets %q", buf.String())
	}
	ours, theirs := pty(t)
	if !Is(theirs) {
		t.Fatal("a pseudo-terminal is no terminal")
	}
	if _, err := Text(theirs).Write([]byte("\x1b[2Jx\n")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 64)
	n, err := ours.Read(got)
	if err != nil || strings.Contains(string(got[:n]), "\x1b") || !strings.HasPrefix(string(got[:n]), `\x1b[2Jx`) {
		t.Errorf("a terminal gets %q, %v", got[:n], err)
	}
}

// pty opens a pseudo-terminal.
func pty(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIP-COUNTED terminal: no pseudo-terminal here: %v", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

func FuzzSafe(f *testing.F) {
	for _, text := range hostile {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		if size < 1 || size > 1<<20 {
			return
		}
		var whole, parts bytes.Buffer
		_, _ = Safe(&whole).Write(text)
		w := Safe(&parts)
		for rest := text; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			_, _ = w.Write(rest[:min(size, len(rest))])
		}
		if whole.String() != parts.String() {
			t.Errorf("in one write %q, in parts %q", whole.String(), parts.String())
		}
		harmless(t, "output", strings.NewReplacer("\n", "", "\t", "", "\u200d", "", "\u200c", "").Replace(whole.String()))
	})
}
