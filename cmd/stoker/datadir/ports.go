package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Loopback is the only address the embedded servers listen on.
const Loopback = "127.0.0.1"

const portsFile = "ports.json"

// Ports are the TCP ports of the embedded servers, chosen at the first start and kept, so
// that an agent which outlived the platform finds the next one where the last one was.
type Ports struct {
	NATS     int `json:"nats"`
	Temporal int `json:"temporal"` // frontend
	History  int `json:"temporal_history"`
	Matching int `json:"temporal_matching"`
	Worker   int `json:"temporal_worker"`
}

// preferred are the ports users of NATS and Temporal expect; history, matching and worker
// are the defaults of Temporal itself.
var preferred = Ports{NATS: 4222, Temporal: 7233, History: 7234, Matching: 7235, Worker: 7239}

type namedPort struct {
	purpose string
	port    *int
}

func (p *Ports) ofNATS() []namedPort { return []namedPort{{"nats", &p.NATS}} }

func (p *Ports) ofTemporal() []namedPort {
	return []namedPort{
		{"temporal", &p.Temporal}, {"temporal history", &p.History},
		{"temporal matching", &p.Matching}, {"temporal worker", &p.Worker},
	}
}

func (p *Ports) named() []namedPort { return append(p.ofNATS(), p.ofTemporal()...) }

// PortChoice says how the ports of a new directory are chosen.
type PortChoice int

// The ways to choose.
const (
	// Preferred takes the well-known ports (4222, 7233, …) where they are free.
	Preferred PortChoice = iota
	// Random keeps the well-known ports free for others: demos and tests.
	Random
)

// Ports reads the directory's ports, choosing them at the first start.
func (d *Dir) Ports(choice PortChoice) (Ports, error) {
	path := d.join(portsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d.choosePorts(choice)
	}
	if err != nil {
		return Ports{}, notWritable(path, err)
	}
	var p Ports
	if err := json.Unmarshal(data, &p); err != nil {
		return Ports{}, damagedPorts(path, err)
	}
	return p, p.check(path)
}

func damagedPorts(path string, why error) error {
	return fmt.Errorf("%w: %s: %w; delete it to choose ports anew, replicas that still run will be replaced", ErrDamaged, path, why)
}

// check refuses what the platform cannot have written: no port, no number of one, or one twice.
func (p *Ports) check(path string) error {
	taken := map[int]string{}
	for _, n := range p.named() {
		switch {
		case *n.port < 1 || *n.port > 65535:
			return damagedPorts(path, fmt.Errorf("the port of %s is %d, allowed: 1 to 65535", n.purpose, *n.port))
		case taken[*n.port] != "":
			return damagedPorts(path, fmt.Errorf("%s and %s have the same port %d", taken[*n.port], n.purpose, *n.port))
		}
		taken[*n.port] = n.purpose
	}
	return nil
}

func (d *Dir) choosePorts(choice PortChoice) (Ports, error) {
	p := preferred
	taken := map[int]bool{}
	for _, n := range p.named() {
		if choice == Preferred && isFree(*n.port) {
			continue
		}
		port, err := freePort(taken)
		if err != nil {
			return Ports{}, fmt.Errorf("%s: %w", n.purpose, err)
		}
		*n.port = port
		taken[port] = true
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return Ports{}, err
	}
	return p, writeFile(d.join(portsFile), append(data, '\n'))
}

// CheckNATS tells whether the broker's port is still free: [ErrPortInUse].
func (d *Dir) CheckNATS(p Ports) error { return d.check(p.ofNATS()) }

// CheckTemporal tells whether Temporal's ports are still free: [ErrPortInUse].
func (d *Dir) CheckTemporal(p Ports) error { return d.check(p.ofTemporal()) }

func (d *Dir) check(ports []namedPort) error {
	hint := "stop it, or choose another port in " + d.join(portsFile) + " while no replica runs"
	for _, n := range ports {
		if err := CheckPort(n.purpose, net.JoinHostPort(Loopback, strconv.Itoa(*n.port)), hint); err != nil {
			return err
		}
	}
	return nil
}

// CheckPort tells whether addr can be listened on right now, and by whom it is held
// otherwise; hint says what a user can do about it. Servers that end the process when they
// cannot listen are checked with it first.
func CheckPort(purpose, addr, hint string) error {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return &PortInUseError{Purpose: purpose, Addr: addr, Holder: holder(addr), Hint: hint}
	}
	return fmt.Errorf("%s cannot listen on %s: %w", purpose, addr, err)
}

// Random ports lie below what kernels hand out to outgoing connections (from 32768 on
// Linux), so that a kept port is not taken by chance between two starts.
const (
	lowestRandom  = 20000
	highestRandom = 32000
	portTries     = 256
)

// FreePort is a port on loopback that nothing listens on now.
func FreePort() (int, error) { return freePort(nil) }

func freePort(taken map[int]bool) (int, error) {
	for range portTries {
		port := lowestRandom + rand.IntN(highestRandom-lowestRandom)
		if !taken[port] && isFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on %s between %d and %d after %d tries", Loopback, lowestRandom, highestRandom, portTries)
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(Loopback, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
