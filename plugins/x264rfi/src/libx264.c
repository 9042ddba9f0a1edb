// What x264rfienc needs of libx264, with plain arguments: the layout of x264's structures is known to its header alone.
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <x264.h>

typedef struct {
	int32_t width, height, fps_num, fps_den, sar_width, sar_height, nv12;
	int32_t kbps, vbv_ms, dpb_size, keyint, slices, threads, intra_refresh;
	// Codes of ISO/IEC 23091-2.
	int32_t full_range, primaries, transfer, matrix;
	const char *preset, *profile;
	void (*log)(int32_t level, const char *text);
} rfi_config;

typedef struct {
	x264_t *x264;
	x264_param_t param;
	x264_nal_t *nals;
	void (*log)(int32_t level, const char *text);
} rfi_encoder;

static void log_line(void *context, int level, const char *format, va_list arguments) {
	char text[512];
	rfi_encoder *encoder = context;
	vsnprintf(text, sizeof text, format, arguments);
	encoder->log(level, text);
}

// The buffer holds a frame at least, or x264 complains.
static void set_rate(x264_param_t *param, int kbps, int vbv_ms) {
	int64_t buffer = (int64_t)kbps * vbv_ms / 1000, frame = (int64_t)kbps * param->i_fps_den / param->i_fps_num + 1;
	param->rc.i_rc_method = X264_RC_ABR;
	param->rc.i_bitrate = kbps;
	param->rc.i_vbv_max_bitrate = vbv_ms ? kbps : 0;
	param->rc.i_vbv_buffer_size = vbv_ms ? (int)(buffer > frame ? buffer : frame) : 0;
}

static int set_up(x264_param_t *param, const rfi_config *config) {
	if (x264_param_default_preset(param, config->preset, "zerolatency") < 0)
		return -1;
	param->i_csp = config->nv12 ? X264_CSP_NV12 : X264_CSP_I420;
	param->i_width = config->width;
	param->i_height = config->height;
	param->i_fps_num = config->fps_num;
	param->i_fps_den = config->fps_den;
	param->b_vfr_input = 0;
	param->vui.i_sar_width = config->sar_width;
	param->vui.i_sar_height = config->sar_height;
	param->vui.b_fullrange = config->full_range;
	param->vui.i_colorprim = config->primaries;
	param->vui.i_transfer = config->transfer;
	param->vui.i_colmatrix = config->matrix;
	param->i_threads = config->threads;
	param->b_sliced_threads = config->threads != 1;
	param->i_slice_count = config->slices;
	param->i_bframe = 0;
	param->i_keyint_max = config->keyint ? config->keyint : X264_KEYINT_MAX_INFINITE;
	param->i_scenecut_threshold = 0;
	param->b_intra_refresh = config->intra_refresh;
	param->i_dpb_size = config->dpb_size;
	if (param->i_frame_reference > config->dpb_size)
		param->i_frame_reference = config->dpb_size;
	// The way above that lists references twice: openh264 does not decode that at all, libavcodec wrongly after a gap.
	if (param->analyse.i_weighted_pred > X264_WEIGHTP_SIMPLE)
		param->analyse.i_weighted_pred = X264_WEIGHTP_SIMPLE;
	param->b_repeat_headers = 1;
	param->b_annexb = 1;
	set_rate(param, config->kbps, config->vbv_ms);
	return x264_param_apply_profile(param, config->profile);
}

rfi_encoder *rfi_open(const rfi_config *config) {
	rfi_encoder *encoder = calloc(1, sizeof *encoder);
	if (!encoder)
		return NULL;
	encoder->log = config->log;
	if (set_up(&encoder->param, config) == 0) {
		encoder->param.pf_log = log_line;
		encoder->param.p_log_private = encoder;
		encoder->param.i_log_level = X264_LOG_INFO;
		encoder->x264 = x264_encoder_open(&encoder->param);
	}
	if (!encoder->x264) {
		free(encoder);
		return NULL;
	}
	return encoder;
}

void rfi_close(rfi_encoder *encoder) {
	x264_encoder_close(encoder->x264);
	free(encoder);
}

int32_t rfi_set_bitrate(rfi_encoder *encoder, int32_t kbps, int32_t vbv_ms) {
	set_rate(&encoder->param, kbps, vbv_ms);
	return x264_encoder_reconfig(encoder->x264, &encoder->param);
}

int32_t rfi_invalidate(rfi_encoder *encoder, int64_t from) {
	return x264_encoder_invalidate_reference(encoder->x264, from);
}

// Number of NAL units, which stay until the next call; negative if it fails.
int32_t rfi_headers(rfi_encoder *encoder) {
	int count = 0, bytes = x264_encoder_headers(encoder->x264, &encoder->nals, &count);
	return bytes < 0 ? bytes : count;
}

// As above; 0 where x264 keeps the frame back, which it does not in this configuration.
int32_t rfi_encode(rfi_encoder *encoder, const uint8_t *const planes[3], const int32_t strides[3], int64_t number,
		int32_t force_idr, int32_t *is_idr) {
	x264_picture_t in, out;
	int count = 0;
	x264_picture_init(&in);
	x264_picture_init(&out);
	in.img.i_csp = encoder->param.i_csp;
	in.img.i_plane = encoder->param.i_csp == X264_CSP_NV12 ? 2 : 3;
	for (int i = 0; i < in.img.i_plane; i++) {
		in.img.plane[i] = (uint8_t *)planes[i];
		in.img.i_stride[i] = strides[i];
	}
	in.i_pts = number;
	in.i_type = force_idr ? X264_TYPE_IDR : X264_TYPE_AUTO;
	int bytes = x264_encoder_encode(encoder->x264, &encoder->nals, &count, &in, &out);
	*is_idr = out.i_type == X264_TYPE_IDR;
	return bytes < 0 ? bytes : count;
}

const uint8_t *rfi_nal(const rfi_encoder *encoder, int32_t index, int32_t *size) {
	*size = encoder->nals[index].i_payload;
	return encoder->nals[index].p_payload;
}
