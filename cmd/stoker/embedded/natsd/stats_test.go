package natsd

import "testing"

// TestCountsWhileTheBrokerStartsAgain: metrics are scraped at any moment. The race detector judges.
func TestCountsWhileTheBrokerStartsAgain(t *testing.T) {
	s := start(t, t.TempDir())
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			default:
				_, _ = s.Stats() // a broker that is stopping may have none
			}
		}
	}()
	err := s.Restart(testContext(t))
	close(over)
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stats(); err != nil {
		t.Errorf("after the start: %v", err)
	}
}
