//! The frame reader and the decoders of the messages that pgveil understands.

use pgveil::wire::backend::{self, Authentication, Report, RowDescription};
use pgveil::wire::frame::{BODY_BYTES_MAX, HEADER_BYTES, Header};
use pgveil::wire::frontend::{self, BindHead, Parse};
use pgveil::wire::{Reader, compose};

/// Read a stream of frames to its end, and decode each by both sides' rules.
pub fn run(mut stream: &[u8]) {
    while let Ok(Some(header)) = Header::read(stream) {
        assert!(header.body <= BODY_BYTES_MAX && header.frame() == header.body + HEADER_BYTES);
        assert_eq!(header.tag, stream[0]);
        let Some(frame) = stream.get(..header.frame()) else { break };
        let body = &frame[HEADER_BYTES..];
        decode(header.tag, body);
        assert_eq!(&*compose::raw(header.tag, body), frame, "a frame is made as it is read");
        stream = &stream[header.frame()..];
    }
}

fn decode(tag: u8, body: &[u8]) {
    // What a decoder hands out is part of the body, and accounts for all of it.
    if let Ok(text) = frontend::query(body) {
        assert_eq!(text.len() + 1, body.len());
        assert!(!text.contains(&0));
    }
    if let Ok(parse) = Parse::decode(body) {
        assert_eq!(parse.name.len() + parse.text.len() + 2 + parse.types.len(), body.len());
    }
    if let Ok(head) = BindHead::decode(body) {
        assert!(head.portal.len() + head.statement.len() + 2 <= body.len());
    }
    if let Ok((_, name)) = frontend::subject(body) {
        assert_eq!(name.len() + 2, body.len());
    }
    if let Ok((portal, _)) = frontend::execute(body) {
        assert_eq!(portal.len() + 5, body.len());
    }
    if let Ok(description) = RowDescription::decode(body) {
        let sum: usize = description.fields.iter().map(|field| field.name.len() + 19).sum();
        assert_eq!(sum + 2, body.len());
    }
    if let Ok(report) = Report::decode(body) {
        let sum: usize = report.fields.iter().map(|(_, value)| value.len() + 2).sum();
        assert_eq!(sum + 1, body.len());
        let fields: Vec<_> = report.fields.clone();
        let again = compose::report(&fields, tag == b'N');
        assert_eq!(&again[HEADER_BYTES..], body);
    }
    if let Ok((name, value)) = backend::parameter_status(body) {
        assert_eq!(name.len() + value.len() + 2, body.len());
    }
    if let Ok(key) = backend::backend_key_data(body) {
        assert_eq!(key.secret.len() + 4, body.len());
    }
    let _status = backend::ready_for_query(body);
    let _authentication = Authentication::decode(body);
    let mut cells = Reader::new(body, "DataRow");
    if let Ok(count) = cells.count() {
        let read = (0..count).map_while(|_| cells.value().ok()).flatten().map(<[u8]>::len).sum::<usize>();
        assert!(read <= body.len());
    }
}
