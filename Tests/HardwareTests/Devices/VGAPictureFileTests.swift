import Primitives
import Testing

@testable import Hardware

/// Reads back what `Deflate` writes: stored and fixed-code blocks of RFC 1951.
private struct Inflate {
    let bytes: [UInt8]
    var bit = 0
    var output: [UInt8] = []

    mutating func take(_ count: Int) -> Int {
        var value = 0
        for i in 0..<count {
            guard bit / 8 < bytes.count else { return value }
            value |= Int(bytes[bit / 8] >> UInt8(bit % 8) & 1) << i
            bit += 1
        }
        return value
    }

    mutating func code(_ count: Int) -> Int { (0..<count).reduce(0) { value, _ in value << 1 | take(1) } }

    mutating func symbol() -> Int {
        var value = code(7)
        if value < 0x18 { return 256 + value }
        value = value << 1 | code(1)
        if value >= 0x30 && value < 0xC0 { return value - 0x30 }
        if value >= 0xC0 && value < 0xC8 { return 280 + value - 0xC0 }
        return 144 + (value << 1 | code(1)) - 0x190
    }

    /// nil: not a stream that this reader knows.
    static func zlib(_ stream: [UInt8]) -> [UInt8]? {
        guard stream.count > 6, (Int(stream[0]) << 8 | Int(stream[1])) % 31 == 0, stream[0] & 15 == 8 else { return nil }
        var reader = Inflate(bytes: Array(stream[2..<(stream.count - 4)]))
        guard reader.take(1) == 1, reader.take(2) == 1 else { return nil }
        while true {
            let symbol = reader.symbol()
            if symbol == 256 { break }
            if symbol < 256 {
                reader.output.append(UInt8(symbol))
                continue
            }
            let l = symbol - 257
            let extra = l < 8 || l == 28 ? 0 : (l - 4) / 4
            let length = l == 28 ? 258 : (l < 8 ? 3 + l : 3 + ((4 + l % 4) << extra)) + reader.take(extra)
            let d = reader.code(5)
            let more = max(0, d / 2 - 1)
            let distance = (d < 4 ? 1 + d : 1 + ((2 + d % 2) << more)) + reader.take(more)
            guard distance <= reader.output.count else { return nil }
            for _ in 0..<length { reader.output.append(reader.output[reader.output.count - distance]) }
        }
        let sum = stream.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return Deflate.adler32(reader.output) == sum ? reader.output : nil
    }
}

/// What a PNG reader sees of our files.
private struct Decoded {
    var width = 0, height = 0, depth = 0, colourType = 0
    var pixels: [UInt32] = []

    init?(_ file: [UInt8]) {
        guard file.starts(with: [0x89, 0x50, 0x4E, 0x47, 13, 10, 26, 10]) else { return nil }
        var at = 8
        var (header, colours, data): ([UInt8], [UInt8], [UInt8]) = ([], [], [])
        var ended = false
        while at + 12 <= file.count {
            let length = file[at..<(at + 4)].reduce(0) { $0 << 8 | Int($1) }
            let body = Array(file[(at + 4)..<(at + 8 + length)])
            let crc = file[(at + 8 + length)..<(at + 12 + length)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            guard PNG.crc32(body) == crc else { return nil }
            switch String(decoding: body[0..<4], as: UTF8.self) {
            case "IHDR": header = Array(body[4...])
            case "PLTE": colours = Array(body[4...])
            case "IDAT": data += body[4...]
            default: ended = true
            }
            at += 12 + length
        }
        guard ended, at == file.count, header.count == 13, let rows = Inflate.zlib(data) else { return nil }
        width = header[0..<4].reduce(0) { $0 << 8 | Int($1) }
        height = header[4..<8].reduce(0) { $0 << 8 | Int($1) }
        (depth, colourType) = (Int(header[8]), Int(header[9]))
        let rowBytes = (width * depth * (colourType == 2 ? 3 : 1) + 7) / 8
        guard rows.count == height * (rowBytes + 1) else { return nil }
        var above = [UInt8](repeating: 0, count: rowBytes)
        for y in 0..<height {
            let start = y * (rowBytes + 1)
            var row = Array(rows[(start + 1)..<(start + 1 + rowBytes)])
            if rows[start] == 2 { for i in 0..<rowBytes { row[i] &+= above[i] } } else if rows[start] != 0 { return nil }
            for x in 0..<width {
                var rgb = Array(row.dropFirst(3 * x).prefix(3))
                if colourType == 3 {
                    let index = Int(row[x * depth / 8] >> UInt8(8 - depth - x * depth % 8)) & (1 << depth - 1)
                    rgb = Array(colours[(3 * index)..<(3 * index + 3)])
                }
                pixels.append(rgb.reduce(0) { $0 << 8 | UInt32($1) })
            }
            above = row
        }
    }
}

@Suite("VGA · picture files") struct VGAPictureFileTests {
    @Test("checksums agree with their published check values") func checksums() {
        #expect(PNG.crc32(Array("123456789".utf8)) == 0xCBF4_3926)
        #expect(Deflate.adler32(Array("Wikipedia".utf8)) == 0x11E6_0398)
    }

    @Test("deflate gives back noise, runs and text", arguments: [0, 1, 2, 3, 300, 70_000])
    func deflate(count: Int) {
        var random = TestRandom(5)
        let noise = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let runs = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 700) }
        let text = (0..<count).map { UInt8(truncatingIfNeeded: [84, 101, 120, 116, 32][$0 % 5] + ($0 / 997) % 3) }
        for bytes in [noise, runs, text] {
            let stream = Deflate.zlib(bytes)
            #expect(Inflate.zlib(stream) == bytes)
        }
        #expect(Deflate.zlib(runs).count < 40 + count / 50)
    }

    @Test("a picture comes back pixel for pixel, in as few bits as its colours need", arguments: [1, 2, 4, 16, 200, 5000])
    func png(colours: Int) throws {
        var random = TestRandom(9)
        let palette = [0] + (0..<colours).map { _ in UInt32(truncatingIfNeeded: random.next()) & 0xFF_FFFF }
        let (width, height) = (61, 100)
        let pixels = (0..<(width * height)).map { palette[$0 < palette.count ? $0 % colours : Int(random.next() % UInt64(colours))] }
        let decoded = try #require(Decoded(PixelFrame(width: width, height: height, pixels: pixels).png))
        #expect((decoded.width, decoded.height) == (width, height))
        #expect(decoded.pixels == pixels)
        #expect(decoded.colourType == (colours > 256 ? 2 : 3))
        #expect(decoded.depth == [1: 1, 2: 1, 4: 2, 16: 4][colours, default: 8])
    }

    @Test("a screenshot of a text screen is small and right") func screenshot() throws {
        let rig = try VGARig()
        rig.set(.text80)
        rig.clearText()
        rig.loadFont(height: 16) { glyph, line in UInt8(truncatingIfNeeded: glyph * 7 ^ line * 29) }
        rig.print("Hello, screenshot", row: 3, colours: 0x1F)
        let picture = try #require(rig.vga.pixels(memory: rig.memory))
        let file = picture.png
        #expect(file.count < 20_000)
        #expect(Decoded(file)?.pixels == picture.pixels)
    }
}

@Suite("VGA · code page 437") struct VGACodePageTests {
    @Test("every byte has a glyph, a narrow form and a 7-bit form") func complete() {
        #expect(CP437.codePoints.count == 256 && CP437.safeCodePoints.count == 256 && CP437.ascii.count == 256)
        #expect(CP437.ascii.allSatisfy { $0 >= 0x20 && $0 < 0x7F })
        #expect(Set(CP437.codePoints).count == 254)  // three spaces
        for byte in 0x20...0x7E as ClosedRange<UInt8> {
            #expect(CP437.scalar(byte).value == UInt32(byte) && CP437.asciiScalar(byte) == CP437.safeScalar(byte))
        }
        let some = [0x01, 0x0D, 0x1F, 0x80, 0xB0, 0xC9, 0xE1, 0xFE].map { CP437.scalar($0) }
        #expect(String(String.UnicodeScalarView(some)) == "☺♪▼Ç░╔ß■")
    }

    @Test("glyphs lead back to their bytes; spaces to 0x20; look-alikes to the nearest") func reverse() {
        for byte in UInt8.min...UInt8.max where ![0x00, 0xFF].contains(byte) {
            #expect(CP437.byte(for: CP437.scalar(byte)) == byte)
        }
        #expect(CP437.byte(for: " ") == 0x20)
        #expect(CP437.byte(for: "\u{A0}") == 0xFF)
        #expect(CP437.byte(for: "β") == 0xE1 && CP437.byte(for: "μ") == 0xE6 && CP437.byte(for: "“") == 0x22)
        #expect(CP437.byte(for: "\n") == nil && CP437.byte(for: "漢") == nil && CP437.byte(for: "😀") == nil)
    }

    @Test("trailing blanks of a row are cut, inner ones stay") func rows() {
        var frame = TextFrame()
        (frame.columns, frame.rows) = (5, 2)
        frame.cells = [0x0741, 0x0700, 0x07FF, 0x0742, 0x0720, 0x0720, 0, 0x07FF, 0x0720, 0x0720]
        #expect(frame.text == "A  B\n\n")
        frame.mode = .blank
        #expect(frame.text.isEmpty)
    }
}
