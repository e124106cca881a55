// Package close has the stories of what is later: close, gc, and instances whose users
// are gone.
package close

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
