package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// heartDir is where knowsByHeart put its checkpoint, for TestMain to remove.
var heartDir string

// knowsByHeart is a checkpoint of a model that knows two short documents.
var knowsByHeart = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tinylm-serve")
	if err != nil {
		return "", err
	}
	heartDir = dir
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("user: Is it hot?\nstoker: It is hot.\n\nthe bell rings"), 0o600); err != nil {
		return "", err
	}
	args := append([]string{"train", "--text", text, "--out", dir, "--steps", "300"}, tiny...)
	if code := run(context.Background(), args, io.Discard, io.Discard, func(string) string { return "" }); code != exitOK {
		return "", fmt.Errorf("training exits %d", code)
	}
	return dir, nil
})

// serveTiny starts a server process and gives its URL when it is ready.
func serveTiny(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	dir, err := knowsByHeart()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"PORT=0"}, append([]string{"serve", "--checkpoint", dir}, args...)...)
	_, url, _ := strings.Cut(p.line("listening"), "url=")
	p.line("ready")
	return p, url
}

func postJSON(t *testing.T, url, body string) *http.Response {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func TestServeAnswersWithTheTrainedModel(t *testing.T) {
	p, url := serveTiny(t)
	res, err := http.Get(url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("health is %d, want 200", res.StatusCode)
	}

	res = postJSON(t, url+"/v1/chat/completions", `{"temperature":0,"messages":[{"role":"user","content":"Is it hot?"}]}`)
	var chat struct {
		Choices []struct {
			Message      struct{ Role, Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage map[string]int
	}
	if err := json.NewDecoder(res.Body).Decode(&chat); err != nil {
		t.Fatal(err)
	}
	if c := chat.Choices[0]; c.Message.Content != "It is hot." || c.Message.Role != "assistant" || c.FinishReason != "stop" {
		t.Errorf("answer %+v, want \"It is hot.\"", c)
	}
	if chat.Usage["completion_tokens"] != 10 || chat.Usage["prompt_tokens"] != 25 || chat.Usage["total_tokens"] != 35 {
		t.Errorf("usage %v, want 25 + 10 = 35", chat.Usage)
	}

	res = postJSON(t, url+"/v1/completions", `{"temperature":0,"stream":true,"prompt":"the bell","stop":"s"}`)
	if text := streamed(t, res.Body); text != " ring" {
		t.Errorf("streamed %q, want \" ring\"", text)
	}
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)
}

// streamed joins the pieces of a completion stream and wants its proper end.
func streamed(t *testing.T, body io.Reader) string {
	t.Helper()
	var text strings.Builder
	done := false
	for lines := bufio.NewScanner(body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if done = data == "[DONE]"; done {
			continue
		}
		var chunk struct{ Choices []struct{ Text string } }
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("bad event %q: %v", data, err)
		}
		text.WriteString(chunk.Choices[0].Text)
	}
	if !done {
		t.Errorf("the stream ends after %q without [DONE]", text.String())
	}
	return text.String()
}

func TestSigtermLetsAStreamFinish(t *testing.T) {
	p, url := serveTiny(t, "--tokens-per-second", "20")
	res := postJSON(t, url+"/v1/completions", `{"temperature":0,"stream":true,"prompt":"the bell"}`)
	p.signal(syscall.SIGTERM) // the headers came with the first event: the stream is under way
	if text := streamed(t, res.Body); text != " rings" {
		t.Errorf("the drained stream says %q, want \" rings\"", text)
	}
	p.exit(exitOK)
}

func TestSigtermAbandonsAfterTheGrace(t *testing.T) {
	p, url := serveTiny(t, "--tokens-per-second", "0.01", "--grace", "50ms")
	res := postJSON(t, url+"/v1/chat/completions", `{"stream":true,"messages":[{"role":"user","content":"Is it hot?"}]}`)
	p.signal(syscall.SIGTERM)
	p.exit(exitOK)
	if body, _ := io.ReadAll(res.Body); strings.Contains(string(body), "[DONE]") {
		t.Errorf("an abandoned stream pretends to be complete: %s", body)
	}
}

func TestServeRefuses(t *testing.T) {
	dir, err := knowsByHeart()
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := itoa(taken.Addr().(*net.TCPAddr).Port)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no checkpoint": {[]string{}, exitUsage, "--checkpoint"},
		"bad port":      {[]string{"--checkpoint", dir, "--port", "http"}, exitUsage, "--port"},
		"bad slots":     {[]string{"--checkpoint", dir, "--slots", "0"}, exitUsage, "--slots"},
		"bad pace":      {[]string{"--checkpoint", dir, "--tokens-per-second", "-1"}, exitUsage, "--tokens-per-second"},
		"empty":         {[]string{"--checkpoint", t.TempDir(), "--port", "0"}, exitFailed, "tinylm train"},
		"port taken":    {[]string{"--checkpoint", dir, "--port", port}, exitFailed, "--port 0"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := tinylm(t, t.Context(), nil, append([]string{"serve"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, want %d with %q in: %s", code, c.code, c.says, stderr)
			}
		})
	}
}

func TestSampleContinuesThePrompt(t *testing.T) {
	dir, err := knowsByHeart()
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := tinylm(t, t.Context(), nil, "sample", "--checkpoint", dir, "--prompt", "the bell")
	if code != exitOK || stdout != "the bell rings\n" {
		t.Errorf("exit code %d, %q, want \"the bell rings\": %s", code, stdout, stderr)
	}
	if code, _, _ := tinylm(t, t.Context(), nil, "sample"); code != exitUsage {
		t.Errorf("exit code %d without --checkpoint, want %d", code, exitUsage)
	}
}
