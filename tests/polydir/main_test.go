// Package polydir has the stories of what a polydir is: for whom it applies, what it
// shows, what is made in it.
package polydir

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
