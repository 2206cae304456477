package scale

import (
	"fmt"
	"time"
)

// Ledger is who holds which GPU of a pool. It is a value: copies never share what a
// method changes, so the owner can try a batch on a copy and keep it or drop it.
//
// Devices are sorted by node and ID, Leases by holder, Lost by name. One writer applies
// changes in batches, calling Expire first in each; the store's compare-and-swap is the
// fence between writers.
type Ledger struct {
	Devices []Device `json:"devices"`
	Leases  []Lease  `json:"leases"`         // live ones and tombstones
	Lost    []string `json:"lost,omitempty"` // nodes that are out of reach
	Epoch   uint64   `json:"epoch"`          // of the newest lease
}

func (l *Ledger) SetDevices(node string, devices []Device, now time.Time)          { panic("x") }
func (l *Ledger) SetInventory(nodes []string, devices []Device, now time.Time)     { panic("x") }
func (l *Ledger) Reserve(ask Ask, ttl time.Duration, now time.Time) (Lease, error) { panic("x") }
func (l *Ledger) Bind(holder string, epoch uint64, now time.Time) error            { panic("x") }
func (l *Ledger) MarkDraining(holder string, now time.Time) error                  { panic("x") }
func (l *Ledger) Release(holder, cause string, now time.Time) error                { panic("x") }
func (l *Ledger) Expire(now time.Time) []Lease                                     { panic("x") }
func (l *Ledger) NodeLost(node string, now time.Time)                              { panic("x") }
func (l *Ledger) NodeFound(node string, now time.Time)                             { panic("x") }
func (l *Ledger) Fence(node string, now time.Time) []Lease                         { panic("x") }
func (l Ledger) Usage() Usage                                                      { panic("x") }
func (l Ledger) Free(products []string, memory uint64) int                         { panic("x") }
func (l Ledger) Fit(ask Ask) int                                                   { panic("x") }
func (l Ledger) Holders() []Holder                                                 { panic("x") }
func (l Ledger) Lease(holder string) (Lease, bool)                                 { panic("x") }
func (l Ledger) Check() error                                                      { panic("x") }

func (a Ask) describe() string { return fmt.Sprint(a.GPUs) }
