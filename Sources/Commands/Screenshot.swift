import ArgumentParser
import Foundation
import Machine

/// `vitrine screenshot NAME FILE`: the display of a running machine as a PNG file.
struct Screenshot: Verb {
    static let configuration = CommandConfiguration(abstract: "Save a running machine's display as a PNG file.")

    @Argument(help: "The machine.") var name: String
    @Argument(help: "Where to write it.") var file: String

    func run(in host: Host) throws(MachineError) -> Int32 {
        let reply = try host.client(name).ask("x-vitrine-pixels", ["format": "png"])
        guard let text = reply["data"]?.string, let bytes = Data(base64Encoded: text) else { throw .failed("The machine '\(name)' sent no picture.") }
        try WholeFile.write([UInt8](bytes), to: file, what: "screenshot")
        return 0
    }
}
