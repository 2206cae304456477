package simulate

import (
	"math"
	"testing"
)

func TestFrontier(t *testing.T) {
	f := NewFrontier([]Result{
		{Policy: "c", GPUSeconds: 400, Attainment: 0.99}, {Policy: "a", GPUSeconds: 100, Attainment: 0.90},
		{Policy: "beaten", GPUSeconds: 300, Attainment: 0.92}, {Policy: "b", GPUSeconds: 200, Attainment: 0.95},
		{Policy: "dearer", GPUSeconds: 500, Attainment: 0.99},
	})
	if len(f) != 3 || f[0].Policy != "a" || f[1].Policy != "b" || f[2].Policy != "c" {
		t.Fatalf("%+v, want a, b and c", f)
	}
	for _, c := range []struct {
		at, want float64
		reached  bool
	}{{0.5, 100, true}, {0.90, 100, true}, {0.925, 150, true}, {0.95, 200, true}, {0.97, 300, true}, {0.99, 400, true}, {0.995, 0, false}} {
		if got, reached := f.At(c.at); math.Abs(got-c.want) > 1e-6 || reached != c.reached {
			t.Errorf("at %g: %g, %v; want %g, %v", c.at, got, reached, c.want, c.reached)
		}
	}
	if _, reached := NewFrontier(nil).At(0.5); reached {
		t.Error("a family without results reaches something")
	}
}
