package simulate

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/scale/simulate"
)

func readAll(file string, r io.Reader) ([]simulate.Request, error) {
	t, err := NewTrace(file, r)
	if err != nil {
		return nil, err
	}
	var out []simulate.Request
	for {
		x, err := t.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, x)
	}
}

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTraces(t *testing.T) {
	want := []simulate.Request{
		{At: 500 * time.Millisecond, Function: "m1", Input: 10, Output: 20, Exec: 3 * time.Second},
		{At: 2 * time.Second, Function: "m2", Input: 1, Output: 0, Exec: 0},
	}
	text := "arrival_s,input_tokens,output_tokens,model,user,exec_s\n0.5,10,20,m1,u,3\n2,1,0,m2,,0\n"
	for name, data := range map[string][]byte{
		"plain": []byte(text), "gzip": zipped(t, text), "CRLF": []byte(strings.ReplaceAll(text, "\n", "\r\n")), "BOM": []byte("\ufeff" + text),
	} {
		got, err := readAll("t.csv", bytes.NewReader(data))
		if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := readAll("azure.csv", strings.NewReader("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n"))
	if err != nil || len(got) != 2 || got[1] != (simulate.Request{At: 52 * time.Millisecond, Function: only, Input: 3180, Output: 8, Exec: -1}) {
		t.Errorf("azure: %+v, %v", got, err)
	}
	got, err = readAll("t.csv", strings.NewReader("arrival_s,exec_s,model\n1,2,\n"))
	if err != nil || len(got) != 1 || got[0].Function != unnamed {
		t.Errorf("a row that names no model: %+v, %v", got, err)
	}
}

// TestBadTraces: every message names the place and what is wanted.
func TestBadTraces(t *testing.T) {
	const header = "arrival_s,input_tokens,output_tokens\n"
	whole := zipped(t, header+strings.Repeat("1,2,3\n", 100_000))
	for name, c := range map[string]struct{ text, want string }{
		"empty file":     {"", "t.csv: the file is empty; want a header"},
		"no rows":        {header, "t.csv:2: no rows; want at least one request"},
		"unsorted":       {header + "5,1,1\n4.5,1,1\n", `t.csv:3:1: arrival_s: "4.5"; want no earlier than the row before (5s)`},
		"negative":       {header + "-1,1,1\n", `t.csv:2:1: arrival_s: "-1"; want a number from 0`},
		"NaN":            {header + "1,NaN,1\n", `t.csv:2:3: input tokens: "NaN"; want a number from 0`},
		"infinite":       {header + "1,1,+Inf\n", `t.csv:2:5: output tokens: "+Inf"; want a number`},
		"absurd tokens":  {header + "1,1e12,1\n", `t.csv:2:3: input tokens: "1e12"; want a number from 0 to 1e+09`},
		"absurd time":    {header + "1e15,1,1\n", `t.csv:2:1: arrival_s: "1e15"; want`},
		"empty field":    {header + "1,,1\n", `t.csv:2:3: input tokens: ""; want a number`},
		"text":           {header + "1,2,three\n", `t.csv:2:5: output tokens: "three"; want a number`},
		"fields missing": {header + "1,2\n", "t.csv:2: another number of fields; want 3, as in the header"},
		"no arrival":     {"time,input_tokens,output_tokens\n1,2,3\n", "t.csv:1: arrival_s: no such column"},
		"no tokens":      {"arrival_s,model\n1,a\n", "t.csv:1: no service time can be computed; want"},
		"column twice":   {"arrival_s,input_tokens,output_tokens,arrival_s\n1,2,3,4\n", "t.csv:1:38: arrival_s: given twice"},
		"open quote":     {header + "1,2,\"3\n" + strings.Repeat("1,2,3\n", 50_000), "t.csv:2: a longer row than any trace has"},
		"endless line":   {header + strings.Repeat("1", 1<<20), "t.csv:2: a longer row"},
		"bad time":       {"TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n", `t.csv:2:1: TIMESTAMP: "yesterday"; want a time such as`},
		"back in time":   {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.5,1,1\n2023-11-16 18:17:03,1,1\n", "t.csv:3:1: TIMESTAMP"},
		"absurd service": {"arrival_s,exec_s\n1,1e9\n", `t.csv:2:3: exec_s: "1e9"; want`},
		"long name":      {"arrival_s,exec_s,model\n1,1," + strings.Repeat("x", 300) + "\n", "t.csv:2:5: model"},
		"cut gzip":       {string(whole[:len(whole)/2]), "the gzip data ends early; want the whole file"},
		"no gzip":        {"\x1f\x8b no", "t.csv:1: "},
		"binary":         {"\x00\x01\x02\xff\xfe", "t.csv:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll("t.csv", strings.NewReader(c.text))
			if !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant ErrTrace with %s", err, c.want)
			}
		})
	}
}

// FuzzTrace: whatever a file holds, it is read or refused with its name, in order and in
// bounds.
func FuzzTrace(f *testing.F) {
	for _, s := range []string{
		"arrival_s,input_tokens,output_tokens\n1,2,3\n", "arrival_s,exec_s,model\n1,2,a\n1,3,\n",
		"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n", "arrival_s,exec_s\n\"1\",\"2\"\n", "",
	} {
		f.Add([]byte(s))
		f.Add(zipped(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readAll("t.csv", bytes.NewReader(data))
		if err != nil && (!errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), "t.csv")) {
			t.Fatalf("error %v, want ErrTrace with the file's name", err)
		}
		last := time.Duration(0)
		for _, r := range got {
			a := DefaultProfile().Model().Arrival(r)
			if r.At < last || a.Service < 0 || a.Function == "" {
				t.Fatalf("read %+v after %v", r, last)
			}
			last = r.At
		}
		if err == nil && len(got) == 0 {
			t.Fatal("nothing was read, and nothing was wrong")
		}
	})
}
