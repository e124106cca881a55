// Package ready has the stories of ready workers: whom they serve, what ends them, and
// who lies in their place.
package ready

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
