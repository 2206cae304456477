//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// dgx is NVIDIA's mock of a DGX A100, with what it leaves out answered as a healthy one would.
func dgx(t *testing.T) (*server.Server, *[]nvml.EventData, Library) {
	t.Helper()
	s := dgxa100.New()
	var queue []nvml.EventData
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) {
		return &mock.EventSet{
			FreeFunc: func() nvml.Return { return nvml.SUCCESS },
			WaitFunc: func(uint32) (nvml.EventData, nvml.Return) {
				if len(queue) == 0 {
					return nvml.EventData{}, nvml.ERROR_TIMEOUT
				}
				e := queue[0]
				queue = queue[1:]
				return e, nvml.SUCCESS
			},
		}, nvml.SUCCESS
	}
	for i := range s.Devices {
		d := gpu(s, i)
		d.RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.SUCCESS }
		d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.SUCCESS }
		d.GetGraphicsRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }
		d.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 0, false, false, nvml.SUCCESS }
		d.GetTotalEccErrorsFunc = func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) { return 0, nvml.SUCCESS }
		d.GetFieldValuesFunc = func([]nvml.FieldValue) nvml.Return { return nvml.ERROR_NOT_SUPPORTED }
		d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 25}, nvml.SUCCESS }
	}
	lib, err := open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lib.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, &queue, lib
}

func gpu(s *server.Server, i int) *server.Device { return s.Devices[i].(*server.Device) }

func list(t *testing.T, lib Library) []Device {
	t.Helper()
	devices, err := lib.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return devices
}

func TestDevicesOfADGX(t *testing.T) {
	s, _, lib := dgx(t)
	devices := list(t, lib)
	if len(devices) != 8 {
		t.Fatalf("%d devices, want 8", len(devices))
	}
	for i, d := range devices {
		if d.UUID != gpu(s, i).UUID || d.Index != i || d.Unhealthy != "" || len(d.Processes) != 0 {
			t.Errorf("device %d: %+v", i, d)
		}
		if !strings.Contains(d.Product, "A100") || d.Memory != gpu(s, i).MemoryInfo.Total {
			t.Errorf("device %d is a %q with %d bytes", i, d.Product, d.Memory)
		}
	}
}

func TestProcessesAreNamed(t *testing.T) {
	s, _, lib := dgx(t)
	gpu(s, 3).GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: uint32(os.Getpid()), UsedGpuMemory: 1 << 30}, {Pid: 1 << 30, UsedGpuMemory: ^uint64(0)}}, nvml.SUCCESS
	}
	got := list(t, lib)[3].Processes
	if len(got) != 2 || got[0].PID != os.Getpid() || got[0].Name == "" || got[0].Memory != 1<<30 {
		t.Fatalf("processes %+v", got)
	}
	if got[1].Name != "" || got[1].Memory != 0 {
		t.Errorf("a process of another namespace: %+v", got[1])
	}
}

func TestHealth(t *testing.T) {
	tests := []struct {
		name string
		harm func(*server.Server, *[]nvml.EventData)
		want string
	}{
		{"healthy", func(*server.Server, *[]nvml.EventData) {}, ""},
		{"row remap pending", func(s *server.Server, _ *[]nvml.EventData) {
			gpu(s, 0).GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 1, true, false, nvml.SUCCESS }
		}, "waits to be remapped"},
		{"row remap failed", func(s *server.Server, _ *[]nvml.EventData) {
			gpu(s, 0).GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 1, true, true, nvml.SUCCESS }
		}, "replace the GPU"},
		{"memory errors before Ampere", func(s *server.Server, _ *[]nvml.EventData) {
			gpu(s, 0).GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 0, false, false, nvml.ERROR_NOT_SUPPORTED }
			gpu(s, 0).GetTotalEccErrorsFunc = func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) { return 2, nvml.SUCCESS }
		}, "2 uncorrected"},
		{"MIG", func(s *server.Server, _ *[]nvml.EventData) { gpu(s, 0).MigMode = nvml.DEVICE_MIG_ENABLE }, "MIG mode"},
		{"a program's own Xid", func(s *server.Server, q *[]nvml.EventData) { *q = append(*q, xid(s, 31)) }, ""},
		{"fell off the bus", func(s *server.Server, q *[]nvml.EventData) { *q = append(*q, xid(s, 31), xid(s, 79)) }, "Xid 79"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, q, lib := dgx(t)
			tt.harm(s, q)
			for range 2 { // a critical error is not forgotten with its event
				devices := list(t, lib)
				if got := devices[0].Unhealthy; tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
					t.Errorf("unhealthy %q, want %q", got, tt.want)
				}
				if devices[1].Unhealthy != "" {
					t.Errorf("its neighbour is unhealthy too: %q", devices[1].Unhealthy)
				}
			}
		})
	}
}

func xid(s *server.Server, n uint64) nvml.EventData {
	return nvml.EventData{Device: s.Devices[0], EventType: nvml.EventTypeXidCriticalError, EventData: n}
}

func TestFaultsAreOfTheGPUsAskedFor(t *testing.T) {
	s, q, lib := dgx(t)
	faults := func(gpus ...int) Faults {
		t.Helper()
		var uuids []string
		for _, i := range gpus {
			uuids = append(uuids, gpu(s, i).UUID)
		}
		f, err := lib.Faults(t.Context(), uuids...)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := faults(0, 1); len(f.Xids) != 0 || f.Recovery != 0 {
		t.Errorf("healthy GPUs: %+v", f)
	}
	before := time.Now()
	*q = append(*q, xid(s, 31), xid(s, 79))
	list(t, lib) // whoever reads an event first, it is not lost to others
	for range 2 {
		f := faults(0, 1)
		if len(f.Xids) != 2 || f.Xids[0].Code != 31 || f.Xids[1].Code != 79 || f.Xids[0].UUID != gpu(s, 0).UUID || f.Xids[0].Seen.Before(before) {
			t.Errorf("two errors of one GPU: %+v", f)
		}
	}
	if f := faults(1, 2); len(f.Xids) != 0 {
		t.Errorf("its neighbours: %+v", f)
	}
	gpu(s, 2).GetFieldValuesFunc = func(v []nvml.FieldValue) nvml.Return {
		v[0].Value[0], v[0].ValueType = byte(nvml.GPU_RECOVERY_ACTION_NODE_REBOOT), uint32(nvml.VALUE_TYPE_UNSIGNED_INT)
		return nvml.SUCCESS
	}
	if f := faults(1, 2); f.Recovery != int(nvml.GPU_RECOVERY_ACTION_NODE_REBOOT) {
		t.Errorf("a GPU whose node is to be rebooted: %+v", f)
	}
	for range 3 * maxXids {
		*q = append(*q, xid(s, 13))
	}
	for range 3 {
		if f := faults(0); len(f.Xids) > maxXids {
			t.Fatalf("%d errors are kept", len(f.Xids))
		}
	}
}

func TestALostGPUIsListedAsItWas(t *testing.T) {
	s, _, lib := dgx(t)
	before := list(t, lib)[2]
	gpu(s, 2).GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_GPU_IS_LOST }
	after := list(t, lib)[2]
	if after.UUID != before.UUID || after.Memory != before.Memory || after.Unhealthy == "" {
		t.Errorf("lost GPU: %+v, before %+v", after, before)
	}
}

func TestSample(t *testing.T) {
	s, _, lib := dgx(t)
	gpu(s, 5).MemoryInfo.Used = 7 << 30
	one, err := lib.Sample(t.Context(), gpu(s, 5).UUID)
	if err != nil || len(one) != 1 {
		t.Fatalf("samples %+v, %v", one, err)
	}
	if one[0].MemoryUsed != 7<<30 || one[0].Utilization != 0.25 || one[0].UUID != gpu(s, 5).UUID {
		t.Errorf("sample %+v", one[0])
	}
	if all, err := lib.Sample(t.Context()); err != nil || len(all) != 8 {
		t.Errorf("%d samples of all, %v", len(all), err)
	}
	if _, err := lib.Sample(t.Context(), "GPU-none"); err == nil {
		t.Error("a GPU that is not there was sampled")
	}
}

func TestAHangingDriverDoesNotHoldItsCallers(t *testing.T) {
	s, _, lib := dgx(t)
	hang := make(chan struct{})
	s.DeviceGetCountFunc = func() (int, nvml.Return) { <-hang; return 0, nvml.SUCCESS }
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for range 3 { // the first hangs in the driver, the others wait for their turn
		if _, err := lib.Devices(ctx); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a hanging driver gives %v", err)
		}
	}
	close(hang)
	if _, err := lib.Devices(t.Context()); err != nil {
		t.Errorf("the driver came back, but: %v", err)
	}
}

func TestNoDriver(t *testing.T) {
	s := dgxa100.New()
	s.InitFunc = func() nvml.Return { return nvml.ERROR_LIBRARY_NOT_FOUND }
	if _, err := open(s); !errors.Is(err, ErrNotAvailable) {
		t.Errorf("no library gives %v", err)
	}
}

// TestThisMachine runs the real library: either it answers, or it says that it is not there.
func TestThisMachine(t *testing.T) {
	devices, err := Devices(t.Context())
	switch {
	case errors.Is(err, ErrNotAvailable):
		t.Logf("no driver here: %v", err)
	case err != nil:
		t.Fatal(err)
	default:
		t.Logf("%d GPUs: %+v", len(devices), devices)
	}
}
