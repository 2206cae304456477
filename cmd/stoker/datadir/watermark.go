package datadir

// Watermark tells when a disk is too full for new work. What was accepted before needs some of
// the room below it: records, acknowledgements, the ends of replicas.
type Watermark struct {
	Least uint64 // bytes that must be free
	low   bool
}

// marginShare is what must be free beyond the least before new work is taken again, as a share
// of the least: a disk that hovers around it would otherwise open and close with every request.
const marginShare = 4

// Enough is what must be free, in bytes, before new work is taken again.
func (w *Watermark) Enough() uint64 { return w.Least + w.Least/marginShare }

// Low takes what is free now, in bytes, and tells whether new work has to wait.
func (w *Watermark) Low(free uint64) bool {
	switch {
	case free < w.Least:
		w.low = true
	case free >= w.Enough():
		w.low = false
	}
	return w.low
}
