//! AES-128-GCM as RTSP and the control channel use it.
