package model

import "strings"

// stopper passes generated text on, but keeps back the end that may still turn
// into a stop sequence.
type stopper struct {
	stops []string
	emit  func(text string) error
	held  string
}

// add takes the next character. stopped is true when a stop sequence is complete;
// the text before it has then been emitted.
func (s *stopper) add(r rune) (stopped bool, err error) {
	s.held += string(r)
	for _, stop := range s.stops {
		if before, ok := strings.CutSuffix(s.held, stop); ok {
			s.held = before
			return true, s.flush()
		}
	}
	keep := s.undecided()
	text := s.held[:len(s.held)-keep]
	s.held = s.held[len(s.held)-keep:]
	if text == "" {
		return false, nil
	}
	return false, s.emit(text)
}

// flush emits what was kept back.
func (s *stopper) flush() error {
	text := s.held
	s.held = ""
	if text == "" {
		return nil
	}
	return s.emit(text)
}

// undecided is the length of the longest end of held that starts a stop sequence.
func (s *stopper) undecided() int {
	longest := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.held)); n > longest; n-- {
			if strings.HasSuffix(s.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}
