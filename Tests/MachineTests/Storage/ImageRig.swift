import Foundation
import Hardware
import Testing

@testable import Machine

/// A disk in an image and what it should hold.
struct ImageRig {
    var path: String
    var model: [UInt8]
    var sectors: Int { model.count / 512 }

    init(_ path: String, bytes: Int) {
        self.path = path
        model = [UInt8](repeating: 0, count: bytes)
    }

    /// Random writes, zeros and discards, to both.
    mutating func scribble(_ image: any Medium, _ dice: inout Dice, rounds: Int, most: Int = 300, flushes: Bool = false) -> Bool {
        for _ in 0..<rounds {
            let first = dice.below(sectors), count = min(1 + dice.below(dice.below(3) == 0 ? most : 16), sectors - first)
            let range = first * 512..<(first + count) * 512
            switch dice.below(8) {
            case 0:
                guard image.zero(sector: UInt64(first), count: UInt64(count), discard: dice.below(2) == 0) else { return false }
                model.replaceSubrange(range, with: [UInt8](repeating: 0, count: count * 512))
            case 1:
                let zeros = [UInt8](repeating: 0, count: count * 512)
                guard zeros.withUnsafeBytes({ image.write(sector: UInt64(first), from: $0) }) else { return false }
                model.replaceSubrange(range, with: zeros)
            default:
                let seed = dice.next()
                let data = ImageRig.noise(count * 512, seed)
                guard data.withUnsafeBytes({ image.write(sector: UInt64(first), from: $0) }) else { return false }
                model.replaceSubrange(range, with: data)
            }
            if flushes, dice.below(10) == 0 { guard image.flush() else { return false } }
        }
        return true
    }

    /// Quick to make without optimisation.
    static func noise(_ count: Int, _ seed: UInt64) -> [UInt8] {
        let words = (0..<64).map { (UInt64($0) &* 0x9E37_79B9_7F4A_7C15 &+ seed) ^ (seed >> 7) }
        let block = words.withUnsafeBytes { Array($0) }
        var data: [UInt8] = []
        data.reserveCapacity(count)
        while data.count < count { data += block }
        return data
    }

    static func contents(_ image: any Medium) -> [UInt8]? {
        var data = [UInt8](repeating: 0xEE, count: Int(image.sectorCount) * 512)
        return data.withUnsafeMutableBytes { image.read(sector: 0, into: $0) } ? data : nil
    }

    static func contents(_ path: String) throws -> [UInt8] {
        try #require(contents(try DiskImage.open(path: path, access: .readOnly)))
    }
}

enum Reference {
    static let tool: String? = ["/usr/bin/qemu-img", "/usr/local/bin/qemu-img"].first { access($0, X_OK) == 0 }
    static let missing: Comment = "qemu-img (Debian: qemu-utils) is not installed"

    @discardableResult
    static func run(_ arguments: String...) throws -> (status: Int32, output: String) { try run(arguments) }

    static func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: try #require(tool))
        process.arguments = arguments
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }

    /// QEMU's word for a format.
    static func name(_ format: ImageFormat) -> String { format == .vhd ? "vpc" : format.rawValue }
}
