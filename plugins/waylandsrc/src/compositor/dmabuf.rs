//! What clients drew with a GPU, shown without a copy.

use super::clients::Client;
use super::renderer::Renderer;
use super::state::State;
use crate::CAT;
use smithay::backend::allocator::Format;
use smithay::backend::allocator::dmabuf::Dmabuf;
use smithay::reexports::calloop::Interest;
use smithay::reexports::wayland_protocols::wp::linux_dmabuf::zv1::server::{
    zwp_linux_buffer_params_v1::{self, ZwpLinuxBufferParamsV1},
    zwp_linux_dmabuf_feedback_v1::ZwpLinuxDmabufFeedbackV1,
    zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1,
};
use smithay::reexports::wayland_server::protocol::{wl_buffer::WlBuffer, wl_surface::WlSurface};
use smithay::reexports::wayland_server::{self, DataInit, Dispatch, DisplayHandle, Resource};
use smithay::wayland::compositor::{
    BufferAssignment, CompositorHandler, SurfaceAttributes, add_blocker, add_pre_commit_hook, with_states,
};
use smithay::wayland::dmabuf::{
    DmabufData, DmabufFeedbackBuilder, DmabufFeedbackData, DmabufGlobal, DmabufGlobalData, DmabufHandler,
    DmabufParamsData, DmabufState, ImportNotifier, get_dmabuf,
};

/// Offers what the renderer can show. Processors show nothing of the kind.
pub fn offer(display: &DisplayHandle, renderer: &mut Renderer) -> DmabufState {
    let mut state = DmabufState::new();
    let (formats, device) = renderer.gles().map(|gles| gles.dmabuf_formats()).unwrap_or_default();
    if !formats.is_empty() {
        announce(&mut state, display, formats, device);
    }
    state
}

fn announce(state: &mut DmabufState, display: &DisplayHandle, formats: Vec<Format>, device: Option<u64>) {
    let feedback = device.map(|device| DmabufFeedbackBuilder::new(device, formats.iter().copied()).build());
    match feedback {
        Some(Ok(feedback)) => state.create_global_with_default_feedback::<State>(display, &feedback),
        other => {
            if let Some(Err(error)) = other {
                gst::info!(CAT, "Clients guess which GPU is meant: {error}");
            }
            state.create_global::<State>(display, formats)
        }
    };
}

/// Has what a client commits wait until the GPU has drawn it: others would wait for it otherwise, while the picture that
/// it is part of is drawn.
pub fn wait_for_drawing(surface: &WlSurface) {
    add_pre_commit_hook::<State, _>(surface, |state, _, surface| {
        let Some((buffer, client)) = committed(surface).zip(surface.client()) else { return };
        let Ok((blocker, source)) = buffer.generate_blocker(Interest::READ) else { return };
        let cleared = move |_, _: &mut _, state: &mut State| {
            let display = state.display.clone();
            state.client_compositor_state(&client).blocker_cleared(state, &display);
            Ok(())
        };
        if state.events.insert_source(source, cleared).is_ok() {
            add_blocker(surface, blocker);
        }
    });
}

fn committed(surface: &WlSurface) -> Option<Dmabuf> {
    with_states(surface, |states| match &states.cached_state.get::<SurfaceAttributes>().pending().buffer {
        Some(BufferAssignment::NewBuffer(buffer)) => get_dmabuf(buffer).ok().cloned(),
        _ => None,
    })
}

impl DmabufHandler for State {
    fn dmabuf_state(&mut self) -> &mut DmabufState {
        &mut self.protocols.dmabuf
    }

    /// A client that asks what it may do is told, one that does not ask is disconnected.
    fn dmabuf_imported(&mut self, _: &DmabufGlobal, buffer: Dmabuf, notifier: ImportNotifier) {
        let gles = self.renderer.gles().ok_or_else(|| "no GPU draws".to_owned());
        match gles.and_then(|gles| gles.import(&buffer)) {
            // The client may have gone meanwhile.
            Ok(()) => _ = notifier.successful::<Self>(),
            Err(why) => {
                gst::info!(CAT, "A client's buffer cannot be shown: {why}: {buffer:?}");
                notifier.failed();
            }
        }
    }
}

/// Each plane is a descriptor of this process.
impl Dispatch<ZwpLinuxBufferParamsV1, DmabufParamsData> for State {
    fn request(
        state: &mut Self,
        client: &wayland_server::Client,
        params: &ZwpLinuxBufferParamsV1,
        request: zwp_linux_buffer_params_v1::Request,
        data: &DmabufParamsData,
        display: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if client.get_data::<Client>().is_some_and(|data| data.shares_too_much(display, client)) {
            gst::warning!(CAT, "A client shares too many buffers and is disconnected");
            params.post_error(zwp_linux_buffer_params_v1::Error::InvalidWlBuffer, "too many buffers");
            return;
        }
        <DmabufState as Dispatch<ZwpLinuxBufferParamsV1, DmabufParamsData, Self>>::request(
            state, client, params, request, data, display, init,
        );
    }
}

wayland_server::delegate_global_dispatch!(State: [ZwpLinuxDmabufV1: DmabufGlobalData] => DmabufState);
wayland_server::delegate_dispatch!(State: [ZwpLinuxDmabufV1: DmabufData] => DmabufState);
wayland_server::delegate_dispatch!(State: [ZwpLinuxDmabufFeedbackV1: DmabufFeedbackData] => DmabufState);
wayland_server::delegate_dispatch!(State: [WlBuffer: Dmabuf] => DmabufState);
