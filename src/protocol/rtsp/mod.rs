//! RTSP as GameStream speaks it.
