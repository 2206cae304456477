package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Browser is a page of a real Chromium, driven over the pipe of its DevTools protocol.
type Browser struct {
	t       testing.TB
	to      *os.File
	from    *bufio.Reader
	session string // of the one page
	last    int    // id of the last command
}

// browserTimeout bounds one command.
const browserTimeout = 30 * time.Second

// OpenBrowser starts Chromium with an empty page. It skips the test, with the reason, where there is none.
func OpenBrowser(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skipf("no chromium on this machine (CI installs it): %v", err)
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+home, "--window-size=1400,2200", "--remote-debugging-pipe", "about:blank")
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4, as the protocol wants
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	b := &Browser{t: t, to: ourOut, from: bufio.NewReader(ourIn)}
	t.Cleanup(func() {
		b.command("Browser.close", nil)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(browserTimeout):
		}
		cancel()
		<-done
		_, _ = ourOut.Close(), ourIn.Close()
	})
	b.attach()
	return b
}

// attach makes a page and a session with it.
func (b *Browser) attach() {
	b.t.Helper()
	var target struct{ TargetID string }
	b.into(b.command("Target.createTarget", map[string]any{"url": "about:blank"}), &target)
	var session struct{ SessionID string }
	b.into(b.command("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}), &session)
	b.session = session.SessionID
}

// Read opens an address and returns the page's text, once it holds all that is wanted.
func (b *Browser) Read(address string, wants ...string) string {
	b.t.Helper()
	b.command("Page.navigate", map[string]any{"url": address})
	var text string
	Eventually(b.t, address+" in a browser", func() (bool, any) {
		text = b.text()
		for _, w := range wants {
			if !bytes.Contains([]byte(text), []byte(w)) {
				return false, fmt.Sprintf("no %q in:\n%s", w, text)
			}
		}
		return true, nil
	})
	return text
}

// text is what a person reads, in frames too.
func (b *Browser) text() string {
	var tree struct{ FrameTree frame }
	b.into(b.command("Page.getFrameTree", nil), &tree)
	var out strings.Builder
	for _, id := range tree.FrameTree.ids() {
		out.WriteString(b.frameText(id))
		out.WriteString("\n")
	}
	return out.String()
}

// frame is a page or a part of one that is a page of its own.
type frame struct {
	Frame       struct{ ID string }
	ChildFrames []frame
}

func (f frame) ids() []string {
	out := []string{f.Frame.ID}
	for _, c := range f.ChildFrames {
		out = append(out, c.ids()...)
	}
	return out
}

// frameText is "" for a frame that goes away meanwhile.
func (b *Browser) frameText(id string) string {
	var world struct{ ExecutionContextID int }
	result, err := b.try("Page.createIsolatedWorld", map[string]any{"frameId": id})
	if err != nil || json.Unmarshal(result, &world) != nil {
		return ""
	}
	result, err = b.try("Runtime.evaluate", map[string]any{
		"expression": "document.body ? document.body.innerText : ''", "returnByValue": true, "contextId": world.ExecutionContextID,
	})
	var out struct{ Result struct{ Value string } }
	if err != nil || json.Unmarshal(result, &out) != nil {
		return ""
	}
	return out.Result.Value
}

// Screenshot writes what the page looks like.
func (b *Browser) Screenshot(path string) {
	b.t.Helper()
	var out struct{ Data string }
	b.into(b.command("Page.captureScreenshot", nil), &out)
	png, err := base64.StdEncoding.DecodeString(out.Data)
	if err == nil {
		err = os.WriteFile(path, png, 0o600)
	}
	if err != nil {
		b.t.Error(err)
	}
}

func (b *Browser) into(result json.RawMessage, out any) {
	b.t.Helper()
	if err := json.Unmarshal(result, out); err != nil {
		b.t.Fatalf("browser said %s: %v", result, err)
	}
}

// command is [Browser.try] for what must work.
func (b *Browser) command(method string, params map[string]any) json.RawMessage {
	b.t.Helper()
	result, err := b.try(method, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// try sends one command and waits for its answer; events in between are passed over. Messages end with a zero byte.
func (b *Browser) try(method string, params map[string]any) (json.RawMessage, error) {
	b.t.Helper()
	b.last++
	m := map[string]any{"id": b.last, "method": method, "params": params}
	if params == nil {
		m["params"] = map[string]any{}
	}
	if b.session != "" && method != "Browser.close" {
		m["sessionId"] = b.session
	}
	data, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(data, 0)); err != nil {
		b.t.Fatalf("browser %s: %v", method, err)
	}
	for {
		line, err := b.from.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("browser %s: %v", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		b.into(bytes.TrimSuffix(line, []byte{0}), &answer)
		switch {
		case answer.ID != b.last:
		case answer.Error != nil:
			return nil, fmt.Errorf("browser %s: %s", method, answer.Error.Message)
		default:
			return answer.Result, nil
		}
	}
}
