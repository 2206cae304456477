package datadir

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestPortsAreKept(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	first, err := d.Ports(Random)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, n := range first.named() {
		if seen[*n.port] || *n.port < lowestRandom || *n.port >= highestRandom {
			t.Errorf("%s has port %d, seen before or out of range", n.purpose, *n.port)
		}
		seen[*n.port] = true
	}
	_ = d.Close()
	second, err := open(t, path).Ports(Preferred)
	if err != nil || second != first {
		t.Fatalf("got %+v, %v; want %+v", second, err, first)
	}
}

func TestPreferredPortThatIsTakenIsReplaced(t *testing.T) {
	addr := net.JoinHostPort(Loopback, strconv.Itoa(preferred.NATS))
	if l, err := net.Listen("tcp", addr); err == nil {
		defer l.Close() // otherwise someone else has it, which is as good
	}
	p, err := open(t, t.TempDir()).Ports(Preferred)
	if err != nil {
		t.Fatal(err)
	}
	if p.NATS == preferred.NATS || !isFree(p.NATS) {
		t.Errorf("got nats port %d, want a free one other than %d", p.NATS, preferred.NATS)
	}
}

func TestKeptPortInUseIsNamedWithItsHolder(t *testing.T) {
	d := open(t, t.TempDir())
	p, err := d.Ports(Random)
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort(Loopback, strconv.Itoa(p.Matching))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := d.CheckNATS(p); err != nil {
		t.Errorf("the broker's port is free: %v", err)
	}
	err = d.CheckTemporal(p)
	var inUse *PortInUseError
	if !errors.As(err, &inUse) || inUse.Addr != addr || inUse.Purpose != "temporal matching" || !errors.Is(err, ErrPortInUse) {
		t.Fatalf("got %v, want PortInUseError of %s", err, addr)
	}
	if want := fmt.Sprintf("(pid %d)", os.Getpid()); !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("message %q should be one line naming %q", err, want)
	}
}

func TestDamagedPortsFile(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "half": `{"nats": 42`, "something else": "hello", "no ports": "{}", "no port": `{"nats":0,"temporal":2,"temporal_history":3,"temporal_matching":4,"temporal_worker":5}`,
		"no number": `{"nats":70000,"temporal":2,"temporal_history":3,"temporal_matching":4,"temporal_worker":5}`,
		"one twice": `{"nats":2,"temporal":2,"temporal_history":3,"temporal_matching":4,"temporal_worker":5}`,
	} {
		d := open(t, t.TempDir())
		if err := os.WriteFile(d.join(portsFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := d.Ports(Random)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), d.join(portsFile)) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line of ErrDamaged naming the file", name, err)
		}
		if data, err := os.ReadFile(d.join(portsFile)); err != nil || string(data) != content {
			t.Errorf("%s: the file was changed: %q, %v", name, data, err)
		}
	}
}
