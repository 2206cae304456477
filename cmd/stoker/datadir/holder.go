package datadir

import (
	"fmt"
	"net"
	"strconv"

	"github.com/prometheus/procfs"
)

// tcpListen is the kernel's state number of a listening socket (TCP_LISTEN).
const tcpListen = 10

// holder names the process that listens on addr, from /proc. It is empty where that cannot
// be known: another user's process, another container, not Linux.
func holder(addr string) string {
	_, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return ""
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return ""
	}
	return ownerOf(proc, listening(proc, port))
}

// listening collects the socket inodes that listen on a port.
func listening(proc procfs.FS, port uint64) map[string]bool {
	inodes := map[string]bool{}
	// A kernel without one of the families has no such file.
	v4, _ := proc.NetTCP()  //nolint:staticcheck // 2026-11-23: netlink would be one more module, for one message
	v6, _ := proc.NetTCP6() //nolint:staticcheck // 2026-11-23: netlink would be one more module, for one message
	for _, s := range append(v4, v6...) {
		if s.LocalPort == port && s.St == tcpListen {
			inodes[fmt.Sprintf("socket:[%d]", s.Inode)] = true
		}
	}
	return inodes
}

func ownerOf(proc procfs.FS, inodes map[string]bool) string {
	if len(inodes) == 0 {
		return ""
	}
	procs, err := proc.AllProcs()
	if err != nil {
		return ""
	}
	for _, p := range procs {
		targets, _ := p.FileDescriptorTargets() // unreadable for another user's process
		for _, t := range targets {
			if inodes[t] {
				name, _ := p.Comm()
				return fmt.Sprintf("%s (pid %d)", name, p.PID)
			}
		}
	}
	return ""
}
