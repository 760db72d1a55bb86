// Prints each line of an event stream as soon as reqwest hands the line on.
use std::io::{BufRead, BufReader, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("the URL is missing")?;
    let client = reqwest::blocking::Client::builder().timeout(None).build()?;
    let response = client.get(url).send()?;
    if response.status() != 200 {
        println!("status: {}", response.status().as_u16());
        return Ok(());
    }
    let mut output = std::io::stdout();
    for line in BufReader::new(response).lines() {
        writeln!(output, "{}", line?)?;
        output.flush()?;
    }
    Ok(())
}
