//! Many clients that come and go, and a server for them that costs next to nothing: so that what is measured is what is
//! between them. One thread each.
//!
//! `crowd serve REAL` says at which port it listens, lets everybody in and answers each message with the same row; what
//! pgveil's own logins ask goes on to the real server. `crowd churn ADDRESS SECONDS CLIENTS` logs in and leaves as often as
//! it goes, so many at a time, and says how often that was.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpSocket, TcpStream};

const LOGGED_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x19client_encoding\0UTF8\0S\0\0\0\x19server_encoding\0UTF8\0\
    S\0\0\0\x23standard_conforming_strings\0on\0";
const ANSWER: &[u8] =
    b"T\0\0\0\x1a\0\x01n\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0D\0\0\0\x0b\0\x01\0\0\0\x011\
    C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
const READY: &[u8] = b"Z\0\0\0\x05I";
const STARTUP: &[u8] = b"\0\0\0\x22\0\x03\0\0user\0sam\0database\0people\0\0";
const TERMINATE: &[u8] = b"X\0\0\0\x04";

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let given: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    match given.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", real] => local.block_on(&runtime, serve((*real).to_owned())),
        ["churn", address, seconds, clients] => {
            let (seconds, clients) = (number(seconds)?, number(clients)?);
            local.block_on(&runtime, churn((*address).to_owned(), Duration::from_secs(seconds), clients))
        }
        _ => Err(io::Error::other("serve REAL, or churn ADDRESS SECONDS CLIENTS")),
    }
}

async fn serve(real: String) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?.port());
    let real: Rc<str> = real.into();
    let mut number = 0_u32;
    loop {
        let (client, _) = listener.accept().await?;
        number = number.wrapping_add(1);
        tokio::task::spawn_local(served(client, Rc::clone(&real), number));
    }
}

async fn served(mut client: TcpStream, real: Rc<str>, number: u32) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut buffer = vec![0; 1024];
    let first = client.read(&mut buffer).await?;
    let first = buffer.get(..first).unwrap_or_default();
    if first.windows(12).any(|part| part == b"user\0pgveil\0") {
        let mut server = TcpStream::connect(&*real).await?;
        server.write_all(first).await?;
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    client.write_all(&[LOGGED_IN, b"K\0\0\0\x0c", &number.to_be_bytes(), b"key!", READY].concat()).await?;
    loop {
        let count = client.read(&mut buffer).await?;
        if count == 0 || buffer.first() == Some(&b'X') {
            return Ok(());
        }
        client.write_all(ANSWER).await?;
    }
}

async fn churn(address: String, time: Duration, clients: u64) -> io::Result<()> {
    let (count, failed) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0_u64)));
    let (address, end): (Rc<str>, _) = (address.into(), Instant::now() + time);
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (address, count, failed) = (Rc::clone(&address), Rc::clone(&count), Rc::clone(&failed));
            tokio::task::spawn_local(async move {
                while Instant::now() < end {
                    match come_and_go(&address).await {
                        Ok(()) => count.set(count.get() + 1),
                        Err(_) => failed.set(failed.get() + 1),
                    }
                }
            })
        })
        .collect();
    for one in clients {
        one.await.map_err(io::Error::other)?;
    }
    println!("{} {}", count.get(), failed.get());
    Ok(())
}

async fn come_and_go(address: &str) -> io::Result<()> {
    let mut client = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    client.write_all(STARTUP).await?;
    let (mut got, mut there) = ([0; 2048], 0);
    while !got.get(..there).unwrap_or_default().ends_with(READY) {
        let count = client.read(got.get_mut(there..).unwrap_or_default()).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        there += count;
    }
    client.write_all(TERMINATE).await
}
