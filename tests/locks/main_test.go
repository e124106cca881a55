// Package locks has the stories of users who stop, slow and hide: nobody waits for
// them, and what they start decides nothing.
package locks

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
