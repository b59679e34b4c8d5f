import Foundation
import Glibc

/// The host's clipboard, write only: nothing the guest shows may read it.
enum Clipboard {
    /// Longer selections are refused by terminals; bytes of base64.
    static let limit = 74_994

    /// The OSC 52 sequence for a text; nil when it is too long.
    static func sequence(_ text: String) -> String? {
        let encoded = Data(text.utf8).base64EncodedString()
        return encoded.utf8.count <= limit ? "\u{1B}]52;c;\(encoded)\u{7}" : nil
    }

    /// tmux drops OSC 52 by default; its own buffer takes the text.
    static func giveToTmux(_ text: String) {
        guard let name = getenv("TMUX"), name.pointee != 0 else { return }
        guard let pipe = popen("tmux load-buffer -w - >/dev/null 2>&1", "w") else { return }
        let bytes = Array(text.utf8)
        fwrite(bytes, 1, bytes.count, pipe)
        pclose(pipe)
    }
}
