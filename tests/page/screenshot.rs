//! What a person sees of the page: a screenshot, and where its parts are and how they look.

use crate::browser::{add, answer, ask, request_line, run, text};
use serde_json::Value;
use std::{
    io::BufReader,
    net::{SocketAddr, TcpListener},
    thread,
};

const WIDTH: usize = 1_200;
const HEIGHT: usize = 1_600;

/// The page at one moment. `parts` has the box (left, top, width, height) and the colours of each row of the table
/// of receivers, and of each chart.
pub struct Screenshot {
    pub parts: Value,
    /// Red, green and blue of each pixel, row by row.
    pixels: Vec<u8>,
}

/// Whether a colour looks red.
pub fn is_red(rgb: &[u8]) -> bool {
    rgb[0] > 120 && rgb[0] - 60 > rgb[1].max(rgb[2])
}

/// Whether a colour is the one of the charts.
pub fn is_blue(rgb: &[u8]) -> bool {
    rgb[0] < 100 && rgb[2] > 120
}

impl Screenshot {
    /// A screenshot of the page that `server` serves.
    pub fn of(server: SocketAddr) -> Screenshot {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("page.png");
        let options = [
            format!("--screenshot={}", picture.display()),
            format!("--window-size={WIDTH},{HEIGHT}"),
            "--hide-scrollbars".into(),
            "--force-device-scale-factor=1".into(),
        ];
        let document = run(measured(server), "/", &options);
        let file = std::fs::File::open(picture).expect("Chromium made a picture");
        let mut reader = png::Decoder::new(BufReader::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width as usize, info.height as usize), (WIDTH, HEIGHT));
        if info.color_type == png::ColorType::Rgba {
            pixels = pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        }
        assert_eq!(pixels.len(), 3 * WIDTH * HEIGHT);
        Screenshot { parts: serde_json::from_str(&text(&document, "parts")).unwrap(), pixels }
    }

    /// For each line of pixels in a box, how many of them are `wanted`.
    pub fn lines(&self, part: &Value, wanted: fn(&[u8]) -> bool) -> Vec<usize> {
        let side = |at: usize| usize::try_from(part["box"][at].as_i64().unwrap()).unwrap();
        let (left, top, width, height) = (side(0), side(1), side(2), side(3));
        assert!(width > 0 && height > 0 && left + width <= WIDTH && top + height <= HEIGHT, "{part}");
        let line = |y: usize| &self.pixels[3 * (y * WIDTH + left)..3 * (y * WIDTH + left + width)];
        (top..top + height).map(|y| line(y).chunks_exact(3).filter(|p| wanted(p)).count()).collect()
    }

    /// How many pixels in a box are `wanted`.
    pub fn count(&self, part: &Value, wanted: fn(&[u8]) -> bool) -> usize {
        self.lines(part, wanted).into_iter().sum()
    }
}

/// The numbers of a computed colour such as `rgb(179, 38, 30)`.
pub fn rgb(color: &Value) -> Vec<u8> {
    let text = color.as_str().unwrap().trim_start_matches("rgb(").trim_end_matches(')');
    text.split(", ").map(|n| n.parse().unwrap_or_else(|_| panic!("the colour {text}"))).collect()
}

/// A proxy in front of `server` that adds a script to its page which measures it, once it is loaded.
fn measured(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || {
                let line = request_line(&client);
                if line.starts_with("GET /measure.js") {
                    let script = include_str!("measure.js");
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nConnection: close";
                    answer(client, &format!("{head}\r\nContent-Length: {}\r\n\r\n{script}", script.len()));
                    return;
                }
                let mut from = ask(server, &format!("{line}Host: localhost\r\n"));
                if line.starts_with("GET / ") {
                    add(from, client, "<script src=\"/measure.js\" defer></script></body>");
                } else {
                    let _ = std::io::copy(&mut from, &mut client); // the browser may have gone
                }
            });
        }
    });
    address
}
